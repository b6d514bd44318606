// SyncController: a Controller whose calls wait for their answers, for tests.
//
// Thread safety: one test thread, except Apply(), which any may call. Ownership: the test.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/control/controller.h"
#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::control {

class SyncController {
 public:
  using Answer = absl::StatusOr<ApplyResponse>;

  explicit SyncController(size_t shards = 2)
      : controller_(*Controller::Start({.shards = shards})) {}
  explicit SyncController(const Controller::Options& options)
      : controller_(*Controller::Start(options)) {}

  Controller& controller() { return *controller_; }

  std::future<Answer> Send(ApplyRequest request) {
    auto promise = std::make_shared<std::promise<Answer>>();
    controller_->Apply(std::move(request),
                       [promise](Answer got) { promise->set_value(std::move(got)); });
    return promise->get_future();
  }
  Answer Apply(ApplyRequest request) { return Send(std::move(request)).get(); }
  Answer Apply(std::vector<Op> ops) { return Apply(Ops(std::move(ops))); }
  Answer ApplyAndWait(std::vector<Op> ops, WaitFor wait, absl::Duration timeout) {
    ApplyRequest request = Ops(std::move(ops));
    request.wait = wait;
    request.wait_timeout = timeout;
    return Apply(std::move(request));
  }

  std::shared_ptr<const StateView> Read(Filter filter = {}) {
    std::promise<std::shared_ptr<const StateView>> answer;
    controller_->GetState(std::move(filter), 0, absl::InfiniteFuture(),
                          [&](auto got) { answer.set_value(*std::move(got)); });
    return answer.get_future().get();
  }
  Info GetInfo() {
    std::promise<Info> answer;
    controller_->GetInfo([&](Info info) { answer.set_value(std::move(info)); });
    return answer.get_future().get();
  }
  absl::StatusOr<RenewLeaseResponse> Renew(RenewLeaseRequest request) {
    std::promise<absl::StatusOr<RenewLeaseResponse>> answer;
    controller_->RenewLease(std::move(request),
                            [&](auto got) { answer.set_value(std::move(got)); });
    return answer.get_future().get();
  }
  Stats GetStats(Filter filter = {}, bool reset_peaks = false) {
    std::promise<Stats> answer;
    controller_->GetStats(std::move(filter), reset_peaks,
                          [&](auto got) { answer.set_value(*std::move(got)); });
    return answer.get_future().get();
  }
  // nullopt when the state has no such backend.
  std::optional<BackendStatus> StatusOf(const Address& address, std::string_view pool = "web") {
    const auto view = Read();
    for (const auto& entry : view->backends) {
      if (entry.object->pool == pool && entry.object->address == address) return entry.status;
    }
    return std::nullopt;
  }
  Address ListenAddress(const std::string& listener) {
    return Read({.listeners = {listener}})->listeners.at(0).status.bound_address;
  }
  // What was observed before, such as a probe's verdict, is in force on every shard after it: a
  // change of its own is acknowledged only after what was to be published before it.
  void Settle() {
    for (const Op& op : {Pool("settled"), Op{.op = RemovePool{.pool = "settled"}}}) {
      const Answer answer = Apply({op});
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->reached, WaitFor::kApplied);
    }
  }
  bool WaitUntilGone(const Address& address) {
    return testing::TestDataPlane::WaitUntil([&] { return !StatusOf(address).has_value(); });
  }

  // Pool `web` with these backends behind listener `http`; its address.
  Address Serve(const std::vector<Address>& addresses, std::optional<Mode> mode = std::nullopt) {
    std::vector<BackendSpec> backends;
    for (const Address& address : addresses) backends.push_back({.address = address});
    const auto applied =
        Apply({Pool("web", mode), Upsert("web", backends), Listener("http", "127.0.0.1:0", "web")});
    if (!applied.ok()) return Address();
    return ListenAddress("http");
  }

 private:
  std::unique_ptr<Controller> controller_;
};

// A session that has been answered by its backend once.
inline testing::TcpSocket OpenEcho(const Address& address) {
  testing::TcpSocket session = testing::TcpSocket::Connect(address);
  if (session.Send("x")) session.Receive(1);
  return session;
}

}  // namespace sidelb::control
