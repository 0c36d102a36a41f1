// The broker as it is first written in C++: gRPC's callback server, parity, no store.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>

#include "databroker.grpc.pb.h"

using bidirectional_databroker::BrokerRequest;
using bidirectional_databroker::BrokerResponse;
using bidirectional_databroker::BrokerService;

// One stream. It reads the next request when its answer is written, and deletes itself at its end.
class Call : public grpc::ServerBidiReactor<BrokerRequest, BrokerResponse> {
 public:
  Call() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    response_.set_id(request_.id());
    response_.set_prediction(request_.id() % 2 == 0);
    StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }

  void OnDone() override { delete this; }

 private:
  BrokerRequest request_;
  BrokerResponse response_;
};

class Echo : public BrokerService::CallbackService {
  grpc::ServerBidiReactor<BrokerRequest, BrokerResponse>* BidirectionalStreaming(
      grpc::CallbackServerContext*) override {
    return new Call;
  }
};

int main() {
  Echo echo;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::cerr << "listening on 127.0.0.1:" << port << std::endl;
  server->Wait();
}
