#include "dataplane/pool/least_load_index.h"

#include <algorithm>
#include <utility>

#include "dataplane/pool/backend.h"

namespace sidelb {
namespace {

constexpr size_t kMaxTried = LoadHeap<BackendLoad>::kMaxRefused;

using Guard = SpinLock::Guard;

bool Contains(absl::Span<Backend* const> tried, const Backend* backend) {
  return std::find(tried.begin(), tried.end(), backend) != tried.end();
}

}  // namespace

bool LeastLoadIndex::IsFull(const BackendLoad& load, uint32_t active) {
  return load.index_max_connections != 0 && active >= load.index_max_connections;
}

LoadHeap<BackendLoad>& LeastLoadIndex::HeapOf(const BackendLoad& load) {
  return load.group == nullptr ? heap_ : load.group->free;
}

void LeastLoadIndex::Reposition(BackendLoad* load, uint32_t active) {
  const bool full = IsFull(*load, active);
  if (load->index_position != BackendLoad::kParked) {
    if (full) {
      HeapOf(*load).Erase(load);
      load->index_position = BackendLoad::kParked;
      ++parked_;
    } else {
      HeapOf(*load).Update(load, active);
    }
  } else if (!full) {
    HeapOf(*load).Push(load, active);
    --parked_;
  }
  if (load->group == nullptr) return;
  load->group->active += active;
  load->group->active -= load->group_share;
  load->group_share = active;
  RepositionGroup(load->group);
}

void LeastLoadIndex::RepositionGroup(LoadGroup* group) {
  if (group->is_parked) {
    if (group->free.is_empty()) return;
    group->is_parked = false;
    groups_.Push(group, group->active);
  } else if (group->free.is_empty()) {
    groups_.Erase(group);
    group->is_parked = true;
  } else {
    groups_.Update(group, group->active);
  }
}

void LeastLoadIndex::Withdraw(BackendLoad* load) {
  if (load->index_position != BackendLoad::kParked) {
    HeapOf(*load).Erase(load);
    load->index_position = BackendLoad::kParked;
    ++parked_;
  }
  LoadGroup* const group = std::exchange(load->group, nullptr);
  if (group == nullptr) return;
  group->active -= std::exchange(load->group_share, 0);
  group->index_weight -= load->index_weight;
  --group->size;
  RepositionGroup(group);
}

LoadGroup* LeastLoadIndex::GroupFor(const BackendLoad& load, Grouping grouping) {
  if (grouping == Grouping::kNone) return nullptr;
  std::unique_ptr<LoadGroup>& group = by_ip_[load.backend->address().WithPort(0)];
  if (group == nullptr) group = std::make_unique<LoadGroup>();
  return group.get();
}

// Shards reach a group through its members and through groups_, which has none without members.
void LeastLoadIndex::DropGroupIfEmpty(const BackendLoad& load) {
  const auto found = by_ip_.find(load.backend->address().WithPort(0));
  if (found != by_ip_.end() && found->second->size == 0) by_ip_.erase(found);
}

void LeastLoadIndex::Put(BackendLoad* load, uint32_t weight, uint32_t max_connections,
                         Grouping grouping) {
  LoadGroup* const group = GroupFor(*load, grouping);
  {
    Guard guard(lock_);
    load->index.store(this, std::memory_order_release);
    if (load->index_position == BackendLoad::kNotIndexed) {
      load->index_position = BackendLoad::kParked;
      ++parked_;
      load->index_member = static_cast<uint32_t>(members_.size());
      members_.push_back(load);
    } else if (load->group != group) {
      Withdraw(load);
    }
    if (group != nullptr) {
      if (load->group == group) {
        group->index_weight -= load->index_weight;
      } else {
        ++group->size;
      }
      group->index_weight += weight;
    }
    load->group = group;
    load->index_weight = weight;
    load->index_max_connections = max_connections;
    Reposition(load, load->active.load(std::memory_order_relaxed));
  }
  if (group == nullptr && !by_ip_.empty()) DropGroupIfEmpty(*load);
}

void LeastLoadIndex::Remove(BackendLoad* load) {
  {
    Guard guard(lock_);
    if (load->index_position == BackendLoad::kNotIndexed) return;
    Withdraw(load);
    load->index_position = BackendLoad::kNotIndexed;
    --parked_;
    members_[load->index_member] = members_.back();
    members_[load->index_member]->index_member = load->index_member;
    members_.pop_back();
  }
  if (!by_ip_.empty()) DropGroupIfEmpty(*load);
}

void LeastLoadIndex::Detach(BackendLoad* load) {
  Remove(load);
  load->index.store(nullptr, std::memory_order_release);
}

void LeastLoadIndex::Resync() {
  // One at a time, so that no shard waits for all of them. Only this thread changes members_.
  for (BackendLoad* load : members_) {
    Guard guard(lock_);
    Reposition(load, load->active.load(std::memory_order_relaxed));
  }
}

size_t LeastLoadIndex::size() const {
  Guard guard(lock_);
  return members_.size();
}

void LeastLoadIndex::CountPick(BackendLoad* load) {
  load->last_pick = ++picks_;
  if (load->group != nullptr) load->group->last_pick = picks_;
}

BackendLoad* LeastLoadIndex::Acquire(absl::Span<Backend* const> tried, bool* full) {
  Guard guard(lock_);
  *full = parked_ > 0;
  tried = tried.subspan(0, kMaxTried);
  const auto is_untried = [tried](const BackendLoad* load) {
    return !Contains(tried, load->backend);
  };
  BackendLoad* load = heap_.First(is_untried);
  if (load == nullptr && !groups_.is_empty()) {
    groups_.First([&](const LoadGroup* group) {
      load = group->free.First(is_untried);
      return load != nullptr;
    });
  }
  if (load == nullptr) return nullptr;
  CountPick(load);
  Reposition(load, load->active.fetch_add(1, std::memory_order_relaxed) + 1);
  return load;
}

bool LeastLoadIndex::AcquireOne(BackendLoad* load, uint32_t max_connections) {
  Guard guard(lock_);
  const uint32_t active = load->active.load(std::memory_order_relaxed);
  if (max_connections != 0 && active >= max_connections) return false;
  load->active.fetch_add(1, std::memory_order_relaxed);
  if (load->index_position != BackendLoad::kNotIndexed) {
    CountPick(load);
    Reposition(load, active + 1);
  }
  return true;
}

void LeastLoadIndex::ReleaseOne(BackendLoad* load) {
  Guard guard(lock_);
  if (load->index_position != BackendLoad::kNotIndexed) {
    Reposition(load, load->active.load(std::memory_order_relaxed) - 1);
  }
  // Last: from here on the control thread may destroy the backend.
  load->active.fetch_sub(1, std::memory_order_release);
}

}  // namespace sidelb
