// The SharedWorker: browsers allow six connections to one host, so all tabs share one stream.

import { Hub } from "./live-hub.js";

const hub = new Hub();

self.onconnect = (event) => hub.join(event.ports[0]);
