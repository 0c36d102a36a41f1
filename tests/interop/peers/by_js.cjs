// A client by @grpc/grpc-js, as peer.py tells it. Messages are bytes of our own making.
"use strict";
const crypto = require("node:crypto");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");

const SERVICE = "bidirectional_databroker.BrokerService";
const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const bytes = (buffer) => buffer;

function method(path, requestStream, responseStream) {
  return {
    path, requestStream, responseStream,
    requestSerialize: bytes, requestDeserialize: bytes,
    responseSerialize: bytes, responseDeserialize: bytes,
  };
}

const Client = grpc.makeGenericClientConstructor({
  stream: method(`/${SERVICE}/BidirectionalStreaming`, true, true),
  nothing: method(`/${SERVICE}/Nothing`, false, false),
  check: method("/grpc.health.v1.Health/Check", false, false),
  watch: method("/grpc.health.v1.Health/Watch", false, true),
});

// A number as protobuf's varint.
function varint(number) {
  const parts = [];
  for (; number > 0x7f; number >>>= 7) parts.push((number & 0x7f) | 0x80);
  return Buffer.from([...parts, number]);
}

// The varint at an offset, and where it ends.
function readVarint(buffer, offset) {
  let number = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = buffer[offset++];
    number += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [number, offset];
  }
}

// All fields of a message that has varints alone, by number.
function readFields(buffer) {
  const fields = {};
  for (let offset = 0; offset < buffer.length;) {
    let tag;
    [tag, offset] = readVarint(buffer, offset);
    [fields[tag >> 3], offset] = readVarint(buffer, offset);
  }
  return fields;
}

function sample(id) {
  const parts = [Buffer.from([0x08]), varint(id)];
  for (const [number, value] of [[2, 0.1], [3, 0.12], [4, 0.09], [5, 0.06]]) {
    const field = Buffer.alloc(5);
    field[0] = (number << 3) | 5;
    field.writeFloatLE(value, 1);
    parts.push(field);
  }
  return Buffer.concat(parts);
}

// A sample with a field that nobody knows, so that it has a size in bytes, 200 or more.
function padded(size) {
  const rest = Buffer.alloc(size - 3);
  return Buffer.concat([Buffer.from([0x7a]), varint(rest.length), rest]);
}

function health(service) {
  if (service === "-") return Buffer.alloc(0);
  return Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
}

function header(agent) {
  const metadata = new grpc.Metadata();
  metadata.set("agent-id", agent);
  metadata.set("session-id", crypto.randomBytes(16).toString("hex"));
  metadata.set("first-id", "0");
  metadata.set("first-sampled-at-ns", `${BigInt(Date.now()) * 1000000n}`);
  metadata.set("sample-period-ns", "10000000");
  return metadata;
}

function sayStatus(answer) {
  console.log(`status ${STATUSES[readFields(answer)[1] ?? 0]}`);
}

function carryOut(line) {
  const [verb, address, name, last] = line.split(" ");
  const client = new Client(address, grpc.credentials.createInsecure());
  const end = (code, words) => {
    console.log(`end ${grpc.status[code]} ${words.replaceAll("\n", " ")}`);
    client.close();
  };
  const converse = (agent, requests, ends, options = {}) => {
    const call = client.stream(header(agent), options);
    call.on("data", (answer) => {
      const fields = readFields(answer);
      console.log(`answer ${fields[1] ?? 0} ${fields[2] ?? 0}`);
    });
    call.on("error", () => {});
    call.on("status", (status) => end(status.code, status.details));
    for (const request of requests) call.write(request);
    if (ends) call.end();
  };
  const unary = (called, request) =>
    called.call(client, request, (error, answer) => {
      if (error) return end(error.code, error.details);
      if (called === client.check) sayStatus(answer);
      return end(grpc.status.OK, "");
    });
  if (verb === "stream") {
    converse(name, Array.from({ length: Number(last) }, (_, id) => sample(id)), true);
  } else if (verb === "hold") {
    converse(name, [sample(0)], false);
  } else if (verb === "late") {
    converse(name, [sample(0)], false, { deadline: Date.now() + Number(last) * 1000 });
  } else if (verb === "large") {
    converse("large", [padded(Number(name))], true);
  } else if (verb === "nothing") {
    unary(client.nothing, Buffer.alloc(0));
  } else if (verb === "health") {
    unary(client.check, health(name));
  } else if (verb === "watch") {
    const call = client.watch(health(name));
    call.on("data", sayStatus);
    call.on("error", () => {});
    call.on("status", (status) => end(status.code, status.details));
  }
}

readline.createInterface({ input: process.stdin }).on("line", carryOut);
