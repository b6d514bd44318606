#include "dataplane/runtime/shard_set.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <utility>

namespace sidelb {
namespace {

constexpr uint32_t kMaxPipes = 256;

uint64_t DescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1 << 20;
  return limit.rlim_cur;
}

// A connected UDP socket takes a local port over all backends; some are left for everybody else.
uint64_t UdpPortLimit() {
  constexpr uint64_t kLeft = 4'096;
  uint64_t first = 32'768, last = 60'999;
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range >> first >> last;
  return last - first + 1 > 2 * kLeft ? last - first + 1 - kLeft : (last - first + 1) / 2;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardSet>> ShardSet::Start(DataPlane::Options options) {
  if (options.shards == 0) return absl::InvalidArgumentError("shards: 0; allowed: 1 or more");
  // A write to a closed pipe or socket is an error to handle, not a signal to die of.
  std::signal(SIGPIPE, SIG_IGN);
  const uint64_t descriptors = DescriptorLimit();
  // A session of TCP needs two descriptors, one of UDP one; what is left is for listeners, pipes,
  // probes and the control plane.
  const uint64_t max_sessions =
      options.max_connections != 0 ? options.max_connections : descriptors * 45 / 100;
  const auto pipes = static_cast<uint32_t>(std::min<uint64_t>(kMaxPipes, descriptors / 50));
  const uint64_t max_udp_sessions = options.max_udp_sessions != 0
                                        ? options.max_udp_sessions
                                        : std::min<uint64_t>(descriptors / 4, UdpPortLimit());
  std::unique_ptr<ShardSet> set(new ShardSet(
      std::move(options),
      {.sessions = max_sessions,
       .udp_sessions = max_udp_sessions,
       .descriptors = std::max({descriptors * 90 / 100, 2 * max_sessions, max_udp_sessions}),
       .pipes = pipes}));
  for (const std::unique_ptr<Shard>& shard : set->shards_) {
    if (absl::Status status = shard->Start(); !status.ok()) return status;
  }
  return set;
}

ShardSet::ShardSet(DataPlane::Options options, const Limits& limits)
    : control_(std::move(options.control)),
      pipes_(limits.pipes),
      descriptors_(limits.descriptors),
      admission_(limits.sessions, &descriptors_, 2),
      udp_admission_(limits.udp_sessions, &descriptors_, 1),
      loads_(options.shards),
      collector_(std::make_shared<Collector>()) {
  collector_->on_applied = std::move(options.on_applied);
  for (size_t i = 0; i < options.shards; ++i) {
    shards_.push_back(
        std::make_unique<Shard>(i, pipes_, loads_, admission_, udp_admission_, faults_));
    shards_.back()->SetHandOver([this](size_t shard, AcceptedConnection connection) {
      shards_[shard]->Take(std::move(connection));
    });
    shards_.back()->SetBusyPoll(options.busy_poll);
  }
}

ShardSet::~ShardSet() { Stop(CloseReason::kShutdown); }

void ShardSet::Publish(Publication publication) {
  Round& round = collector_->round;
  round.publication = std::make_shared<Publication>(std::move(publication));
  round.missing = shards_.size();
  round.errors.clear();
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->Apply(round.publication, [control = control_, collector = collector_](ShardAck ack) {
      boost::asio::post(control, [collector, ack = std::move(ack)]() mutable {
        OnAck(collector, std::move(ack));
      });
    });
  }
}

void ShardSet::AskAll(std::function<void()> callback) {
  const auto missing = std::make_shared<std::atomic<size_t>>(shards_.size());
  for (const std::unique_ptr<Shard>& shard : shards_) {
    // Nothing to apply, but it waits in the same queue as a change would.
    shard->Apply(std::make_shared<Publication>(),
                 [control = control_, missing, callback](const ShardAck&) {
                   if (missing->fetch_sub(1) == 1) boost::asio::post(control, callback);
                 });
  }
}

void ShardSet::OnAck(const std::shared_ptr<Collector>& collector, ShardAck ack) {
  Round& round = collector->round;
  round.errors.insert(round.errors.end(), ack.errors.begin(), ack.errors.end());
  if (--round.missing > 0) return;
  const std::shared_ptr<Publication> publication = std::move(round.publication);
  collector->on_applied(publication->seq, publication->revision, std::move(round.errors));
}

void ShardSet::Stop(CloseReason reason) {
  // First no shard hands connections over any more, then those on their way arrive: one that has
  // ended would not take them.
  loads_.Stop();
  for (const std::unique_ptr<Shard>& shard : shards_) {
    if (shard->is_running()) shard->WaitForPosted();
  }
  for (const std::unique_ptr<Shard>& shard : shards_) shard->Stop(reason);
}

}  // namespace sidelb
