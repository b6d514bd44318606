// What the control plane writes to the event log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "fmt/format.h"
#include "server/control/config_digest.h"
#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::Echo;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

// Follows the log from its beginning, event by event, as a client would.
class Follower {
 public:
  explicit Follower(SyncController& control) : log_(control.controller().events()) {}

  // Reads what there is; returns a word for each event, as "web/10.0.0.1:80 serving".
  std::vector<std::string> Read() {
    std::vector<std::string> words;
    const auto batches = log_.Read(position_, 1 << 20);
    EXPECT_TRUE(batches);
    for (const auto& batch : batches.value_or(EventLog::Batches{})) {
      for (const Event& event : batch->events) {
        EXPECT_EQ(event.position, ++position_);
        words.push_back(std::visit([this](const auto& what) { return Take(what); }, event.what));
      }
      revision_ = batch->revision;
      actor_ = batch->actor;
    }
    return words;
  }
  bool WaitFor(const std::string& word) {
    return TestDataPlane::WaitUntil([&] {
      for (const std::string& one : Read()) seen_.push_back(one);
      return std::find(seen_.begin(), seen_.end(), word) != seen_.end();
    });
  }
  const std::vector<std::string>& seen() const { return seen_; }
  uint64_t revision() const { return revision_; }
  const std::string& actor() const { return actor_; }

  uint64_t Digest() const {
    uint64_t digest = 0;
    for (const auto& [key, object] : listeners_) digest += DigestOf(*object);
    for (const auto& [key, object] : pools_) digest += DigestOf(*object);
    for (const auto& [key, object] : backends_) digest += DigestOf(*object);
    return digest;
  }
  // The view must be what the last event has said that it was.
  template <typename Key, typename Object>
  static void Replace(std::map<Key, std::shared_ptr<const Object>>* view, const Key& key,
                      const std::shared_ptr<const Object>& before,
                      const std::shared_ptr<const Object>& after) {
    const auto found = view->find(key);
    EXPECT_EQ(found == view->end() ? nullptr : found->second, before);
    if (after == nullptr) {
      view->erase(key);
    } else {
      (*view)[key] = after;
    }
  }
  std::string Take(const ListenerEvent& event) {
    const auto& object = event.after.object ? event.after.object : event.before;
    Replace(&listeners_, object->spec.name, event.before, event.after.object);
    return fmt::format("listener {} {}", object->spec.name,
                       event.after.object == nullptr ? "gone"
                       : event.after.status.is_bound ? "bound"
                                                     : "not bound");
  }
  std::string Take(const PoolEvent& event) {
    const auto& object = event.after.object ? event.after.object : event.before;
    Replace(&pools_, object->spec.name, event.before, event.after.object);
    if (event.after.object == nullptr) return fmt::format("pool {} gone", object->spec.name);
    return fmt::format("pool {} {}/{}", object->spec.name, event.after.status.serving,
                       event.after.status.total);
  }
  std::string Take(const LeaseEvent& event) {
    const Lease& lease = *(event.after ? event.after : event.before);
    return fmt::format("lease {} {}", lease.owner,
                       event.after == nullptr ? "released"
                       : lease.is_expired     ? "expired"
                                              : "held");
  }
  std::string Take(const BackendEvent& event) {
    static const char* const kStates[] = {"warming",  "serving",  "unhealthy",
                                          "draining", "disabled", "removing"};
    const auto& object = event.after.object ? event.after.object : event.before;
    const BackendKey key{object->pool, object->address};
    Replace(&backends_, key, event.before, event.after.object);
    if (event.after.object == nullptr) return fmt::format("{} gone", object->address.ToString());
    return fmt::format("{} {}", object->address.ToString(),
                       kStates[static_cast<size_t>(event.after.status.state)]);
  }

 private:
  EventLog& log_;
  uint64_t position_ = 0;
  uint64_t revision_ = 0;
  std::string actor_;
  std::vector<std::string> seen_;
  std::map<std::string, std::shared_ptr<const ListenerObject>> listeners_;
  std::map<std::string, std::shared_ptr<const PoolObject>> pools_;
  std::map<BackendKey, std::shared_ptr<const BackendObject>> backends_;
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A pool that is not probed, so that nothing happens by itself.
Op Unchecked(const std::string& name) {
  return {.op = PutPool{.spec = {.name = name,
                                 .health_check = HealthCheckSpec{.kind = HealthCheckKind::kNone}}}};
}

uint64_t DigestNow(SyncController& control, Filter filter = {}) {
  std::promise<uint64_t> answer;
  control.controller().Subscribe(std::move(filter), false,
                                 [&](auto got) { answer.set_value(got->digest); });
  return answer.get_future().get();
}

TEST(EventsTest, OneApplyIsOneBatchWithItsActorAndPoolsFirst) {
  SyncController control;
  Follower follower(control);
  const auto applied = control.Apply({Unchecked("web"), Upsert("web", {B("10.0.0.1:80")}),
                                      Listener("http", "127.0.0.1:0", "web")});
  ASSERT_TRUE(applied.ok());

  EXPECT_THAT(follower.Read(),
              ElementsAre("pool web 1/1", "listener http bound", "10.0.0.1:80 serving"));
  EXPECT_EQ(follower.revision(), applied->revision);
  EXPECT_EQ(follower.actor(), "api:test");
  EXPECT_EQ(follower.Digest(), DigestNow(control));
}

TEST(EventsTest, ABatchThatChangesNothingIsNoEvent) {
  SyncController control;
  Follower follower(control);
  ASSERT_TRUE(control.Apply({Unchecked("web"), Upsert("web", {B("10.0.0.1:80")})}).ok());
  follower.Read();
  ASSERT_TRUE(control.Apply({Unchecked("web"), Upsert("web", {B("10.0.0.1:80")})}).ok());
  EXPECT_THAT(follower.Read(), IsEmpty());
}

TEST(EventsTest, ARemovedBackendIsGoneWhenItsLastSessionIs) {
  TcpServer a(Echo);
  SyncController control;
  Follower follower(control);
  ASSERT_TRUE(control
                  .Apply({Unchecked("web"), Upsert("web", {{.address = a.address()}}),
                          Listener("http", "127.0.0.1:0", "web")})
                  .ok());
  const std::string name = a.address().ToString();
  {
    const TcpSocket session = OpenEcho(control.ListenAddress("http"));
    follower.Read();
    ASSERT_TRUE(control.Apply({Remove("web", {a.address()})}).ok());
    EXPECT_THAT(follower.Read(), ElementsAre("pool web 0/0", name + " removing"));
    EXPECT_EQ(follower.Digest(), DigestNow(control));
  }
  EXPECT_TRUE(follower.WaitFor(name + " gone"));
}

TEST(EventsTest, ProbesTellWhoServes) {
  TcpServer a(Echo);
  const testing::RefusedAddress refused;
  SyncController control;
  Follower follower(control);
  control.Serve({a.address(), refused.address});
  EXPECT_TRUE(follower.WaitFor(a.address().ToString() + " serving"));
  EXPECT_TRUE(follower.WaitFor(refused.address.ToString() + " unhealthy"));
  EXPECT_TRUE(follower.WaitFor("pool web 1/2"));
}

TEST(EventsTest, PoolsThatAreRemovedGoAfterTheirBackends) {
  SyncController control;
  Follower follower(control);
  ASSERT_TRUE(control.Apply({Unchecked("web"), Upsert("web", {B("10.0.0.1:80")})}).ok());
  follower.Read();
  ASSERT_TRUE(control.Apply({{.op = RemovePool{.pool = "web", .force = true}}}).ok());
  EXPECT_TRUE(follower.WaitFor("10.0.0.1:80 gone"));
  EXPECT_THAT(follower.seen(), ::testing::Contains("pool web gone"));
  EXPECT_EQ(follower.Digest(), DigestNow(control));
  EXPECT_EQ(DigestNow(control), 0u);
}

TEST(EventsTest, SessionsThatComeAndGoAreNoEvents) {
  TcpServer a(Echo);
  SyncController control;
  Follower follower(control);
  ASSERT_TRUE(
      control
          .Apply({Unchecked("web"), Upsert("web", {{.address = a.address(), .max_connections = 1}}),
                  Listener("http", "127.0.0.1:0", "web")})
          .ok());
  const Address at = control.ListenAddress("http");
  follower.Read();
  for (int i = 0; i < 5; ++i) OpenEcho(at);
  ASSERT_TRUE(control.Apply({Upsert("web", {B("10.0.0.9:80")})}).ok());
  EXPECT_THAT(follower.Read(), ElementsAre("pool web 2/2", "10.0.0.9:80 serving"));
}

// Whatever is done, who follows the log has the configuration that a read shows.
TEST(EventsTest, TheLogAlwaysLeadsToWhatIsRead) {
  SyncController control;
  Follower follower(control);
  std::minstd_rand random(7);
  const auto any = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const Filter only_pool_one{.pools = {"p1"}};
  for (int round = 0; round < 400; ++round) {
    const std::string pool = fmt::format("p{}", any(3));
    const BackendSpec backend = B(fmt::format("10.0.0.{}:80", 1 + any(8)), any(3) * 50);
    Op op;
    switch (any(7)) {
      case 0:
        op = Unchecked(pool);
        break;
      case 1:
        op = {.op = RemovePool{.pool = pool, .force = true}};
        break;
      case 2:
        op = Remove(pool, {backend.address});
        break;
      case 3:
        op = Replace(pool, {backend});
        break;
      case 4:
        op = Impose(pool, {backend.address},
                    {.admin_state = any(2) == 0 ? AdminState::kDraining : AdminState::kDisabled});
        break;
      default:
        op = Upsert(pool, {backend});
        break;
    }
    (void)control.Apply({op});  // some are refused: no such pool
    follower.Read();
    ASSERT_EQ(follower.Digest(), DigestNow(control)) << "round " << round;
    ASSERT_EQ(DigestNow(control), DigestOf(*control.Read()));
    ASSERT_EQ(DigestNow(control, only_pool_one), DigestOf(*control.Read(only_pool_one)));
  }
  EXPECT_EQ(follower.revision(), control.Read()->revision);
}

}  // namespace
}  // namespace sidelb::control
