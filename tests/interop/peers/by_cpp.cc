// A client by gRPC's C++ library, as peer.py tells it.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>

#include "databroker.grpc.pb.h"
#include "health.grpc.pb.h"

using bidirectional_databroker::BrokerRequest;
using bidirectional_databroker::BrokerResponse;
using bidirectional_databroker::BrokerService;
using grpc::ClientContext;
using grpc::Status;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {

// The names of the status codes, by their numbers.
const char* const kCodes[] = {
    "OK",           "CANCELLED",       "UNKNOWN",        "INVALID_ARGUMENT",    "DEADLINE_EXCEEDED",
    "NOT_FOUND",    "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",      "OUT_OF_RANGE",    "UNIMPLEMENTED",  "INTERNAL",            "UNAVAILABLE",
    "DATA_LOSS",    "UNAUTHENTICATED"};

void SayEnd(const Status& status) {
  std::string words = status.error_message();
  std::replace(words.begin(), words.end(), '\n', ' ');
  std::cout << "end " << kCodes[status.error_code()] << " " << words << std::endl;
}

void SayStatus(const HealthCheckResponse& answer) {
  std::cout << "status " << HealthCheckResponse::ServingStatus_Name(answer.status()) << std::endl;
}

void AddHeader(ClientContext& context, const std::string& agent) {
  std::random_device chance;
  std::string session;
  for (int i = 0; i < 32; i++) session += "0123456789abcdef"[chance() % 16];
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  context.AddMetadata("agent-id", agent);
  context.AddMetadata("session-id", session);
  context.AddMetadata("first-id", "0");
  context.AddMetadata("first-sampled-at-ns", std::to_string(now_ns));
  context.AddMetadata("sample-period-ns", "10000000");
}

BrokerRequest Sample(int id) {
  BrokerRequest request;
  request.set_id(id);
  request.set_sensor1(0.1f);
  request.set_sensor2(0.12f);
  request.set_sensor3(0.09f);
  request.set_sensor4(0.06f);
  return request;
}

// A sample with a field that nobody knows, so that it has a size in bytes, 200 or more.
BrokerRequest Padded(int size) {
  const int rest = size - 3;
  std::string bytes("\x7a");
  bytes += static_cast<char>((rest & 0x7f) | 0x80);
  bytes += static_cast<char>(rest >> 7);
  BrokerRequest request;
  request.ParseFromString(bytes + std::string(rest, '\0'));
  return request;
}

// Sends `count` samples, or `only`, and says the answers until the broker ends the call.
void Converse(BrokerService::Stub& stub, ClientContext& context, int count, bool ends,
              const BrokerRequest* only = nullptr) {
  const auto call = stub.BidirectionalStreaming(&context);
  for (int id = 0; id < count; id++) {
    if (!call->Write(only ? *only : Sample(id))) break;
  }
  if (ends) call->WritesDone();
  BrokerResponse answer;
  while (call->Read(&answer)) {
    std::cout << "answer " << answer.id() << " " << answer.prediction() << std::endl;
  }
  SayEnd(call->Finish());
}

void CallNothing(const std::shared_ptr<grpc::Channel>& channel, ClientContext& context) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ByteBuffer answer;
  Status status;
  const auto call = stub.PrepareUnaryCall(
      &context, "/bidirectional_databroker.BrokerService/Nothing", grpc::ByteBuffer(), &queue);
  call->StartCall();
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  SayEnd(status);
}

void CarryOut(std::istringstream line) {
  std::string verb, address, name;
  line >> verb >> address;
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  ClientContext context;
  const auto stub = BrokerService::NewStub(channel);
  if (verb == "stream") {
    int count;
    line >> name >> count;
    AddHeader(context, name);
    Converse(*stub, context, count, true);
  } else if (verb == "hold") {
    line >> name;
    AddHeader(context, name);
    Converse(*stub, context, 1, false);
  } else if (verb == "late") {
    double seconds;
    line >> name >> seconds;
    AddHeader(context, name);
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<int>(seconds * 1000)));
    Converse(*stub, context, 1, false);
  } else if (verb == "large") {
    int size;
    line >> size;
    AddHeader(context, "large");
    const BrokerRequest padded = Padded(size);
    Converse(*stub, context, 1, true, &padded);
  } else if (verb == "nothing") {
    CallNothing(channel, context);
  } else {
    HealthCheckRequest asked;
    HealthCheckResponse answer;
    line >> name;
    if (name != "-") asked.set_service(name);
    const auto health = Health::NewStub(channel);
    if (verb == "health") {
      const Status status = health->Check(&context, asked, &answer);
      if (status.ok()) SayStatus(answer);
      SayEnd(status);
    } else {
      const auto watch = health->Watch(&context, asked);
      while (watch->Read(&answer)) SayStatus(answer);
      SayEnd(watch->Finish());
    }
  }
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) CarryOut(std::istringstream(line));
}
