"""Visitors of the console without a browser: python -m bench.visitors URL --agent press-1.

A number of live streams, and a query for history each 0.2 s, until it is ended.
"""

import argparse
import http.client
import threading
import time
from urllib.parse import urlsplit

STREAMS = 10
_QUERY_EVERY_S = 0.2
_DAY_MS = 86_400_000


def stream_kb_s(netloc: str, watch: str, for_s: float) -> float:
    """What a live stream sends in kB/s, its first tick left out."""
    live = http.client.HTTPConnection(netloc)
    live.request("GET", f"/api/live?watch={watch}")
    answer = live.getresponse()
    while answer.readline().strip():  # the first tick ends with an empty line
        pass
    begin_s, count = time.monotonic(), 0
    while time.monotonic() - begin_s < for_s:
        count += len(answer.read1(1 << 16))
    live.close()
    return count / 1000 / (time.monotonic() - begin_s)


def _stream(netloc: str, agent: str) -> None:
    live = http.client.HTTPConnection(netloc)
    live.request("GET", f"/api/live?watch={agent}")
    answer = live.getresponse()
    while answer.read1(1 << 16):
        pass


def _query(netloc: str, agent: str) -> None:
    asking = http.client.HTTPConnection(netloc)
    while True:
        now_ms = time.time_ns() // 1_000_000
        span = f"from={now_ms - _DAY_MS}&to={now_ms}&px=1000"
        asking.request("GET", f"/api/agent/{agent}/history?{span}")
        asking.getresponse().read()
        time.sleep(_QUERY_EVERY_S)


def main() -> None:
    """Visit, until ended."""
    parser = argparse.ArgumentParser(prog="bench.visitors", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--agent", required=True)
    arguments = parser.parse_args()
    netloc = urlsplit(arguments.url).netloc
    for _ in range(STREAMS):
        threading.Thread(target=_stream, args=(netloc, arguments.agent), daemon=True).start()
    _query(netloc, arguments.agent)


if __name__ == "__main__":
    main()
