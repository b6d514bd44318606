#include "bench/control/writer.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace sidelb::bench {

void Fail(const std::string& what) {
  std::fputs(fmt::format("sidelb-control-load: {}\n", what).c_str(), stderr);
  std::_Exit(1);  // from any thread, with calls under way
}

std::unique_ptr<pb::ControlService::Stub> Connect(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  return pb::ControlService::NewStub(
      grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
}

pb::ApplyResponse PutWeight(pb::ControlService::Stub* stub, const std::string& pool, int writer,
                            int turn, pb::WaitFor wait) {
  return PutWeight(stub, pool, writer, fmt::format("127.9.{}.{}:9", writer / 250, 1 + writer % 250),
                   static_cast<uint32_t>(100 + turn % 100), wait);
}

pb::ApplyResponse PutWeight(pb::ControlService::Stub* stub, const std::string& pool, int writer,
                            const std::string& address, uint32_t weight, pb::WaitFor wait) {
  pb::ApplyRequest request;
  request.set_owner(fmt::format("api:bench-{}", writer));
  request.set_wait(wait);
  pb::BackendSet* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool(pool);
  pb::BackendSpec* spec = set->add_backends();
  spec->set_address(address);
  spec->set_weight(weight);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  pb::ApplyResponse response;
  const grpc::Status status = stub->Apply(&context, request, &response);
  if (!status.ok()) Fail(fmt::format("Apply: {}", status.error_message()));
  return response;
}

std::vector<absl::Duration> MeasureApplies(const std::string& endpoint, const std::string& pool,
                                           int clients, pb::WaitFor wait, absl::Duration duration) {
  std::vector<std::vector<absl::Duration>> times(static_cast<size_t>(clients));
  std::vector<std::thread> threads;
  for (int writer = 0; writer < clients; ++writer) {
    threads.emplace_back([&, writer] {
      const auto stub = Connect(endpoint);
      PutWeight(stub.get(), pool, writer, 1, wait);  // connects
      const absl::Time end = absl::Now() + duration;
      for (int turn = 2;; ++turn) {
        const absl::Time begin = absl::Now();
        if (begin >= end) return;
        PutWeight(stub.get(), pool, writer, turn, wait);
        times[static_cast<size_t>(writer)].push_back(absl::Now() - begin);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<absl::Duration> all;
  for (const auto& own : times) all.insert(all.end(), own.begin(), own.end());
  return all;
}

std::vector<absl::Duration> MeasureChanges(pb::ControlService::Stub* stub, const std::string& pool,
                                           const std::vector<std::string>& addresses, int rate,
                                           absl::Duration duration) {
  std::vector<absl::Duration> times;
  const absl::Time begin = absl::Now();
  for (size_t turn = 0;; ++turn) {
    const absl::Time due = begin + absl::Seconds(1) * turn / rate;
    if (due - begin >= duration) return times;
    absl::SleepFor(due - absl::Now());
    const absl::Time sent = absl::Now();
    // Another weight each time that a backend has its turn.
    const auto weight = static_cast<uint32_t>(101 + turn / addresses.size() % 2);
    PutWeight(stub, pool, 0, addresses[turn % addresses.size()], weight, pb::WAIT_FOR_APPLIED);
    times.push_back(absl::Now() - sent);
  }
}

}  // namespace sidelb::bench
