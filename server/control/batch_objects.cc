// Ops on listeners and pools.
#include <map>

#include "fmt/format.h"
#include "server/control/batch_impl.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {
namespace {

std::string_view ProtocolName(const ListenerSpec& listener) {
  return listener.protocol == Protocol::kUdp ? "udp" : "tcp";
}

}  // namespace

std::string ListenerAddressPath(const Change& change, const std::string& name) {
  const auto imported = change.listener_paths.find(name);
  if (imported != change.listener_paths.end()) return imported->second + ".address";
  const auto op = change.listeners.find(name);
  return fmt::format("ops[{}].put_listener.address", op == change.listeners.end() ? 0 : op->second);
}

absl::Status Batch::Do(const PutListener& op) { return Put(op.spec, Path("put_listener")); }

absl::Status Batch::Put(const ListenerSpec& spec, const std::string& path) {
  if (auto status = ValidateListener(spec, path); !status.ok()) return status;
  if (auto status = NeedPool(spec.pool, path + ".pool"); !status.ok()) return status;
  if (auto status = CheckObject("listener", spec.name, path + ".name"); !status.ok()) {
    return status;
  }
  const ListenerObject* old = next_.FindListener(spec.name);
  if (old != nullptr && old->spec == spec) {
    ++result().unchanged;
    return absl::OkStatus();
  }
  ++(old == nullptr ? result().added : result().updated);
  Summarize(
      fmt::format("listener {} on {} for pool {}", spec.name, spec.address.ToString(), spec.pool));
  next_.listeners[spec.name] = std::make_shared<ListenerObject>(ListenerObject{spec, revision_});
  change_.listeners[spec.name] = index_;
  return absl::OkStatus();
}

absl::Status Batch::Do(const RemoveListener& op) {
  const std::string path = Path("remove_listener");
  if (auto status = ValidateName(op.name, path); !status.ok()) return status;
  if (auto status = CheckObject("listener", op.name, path); !status.ok()) return status;
  if (next_.FindListener(op.name) == nullptr) return absl::OkStatus();
  ++result().removed;
  DropListener(op.name);
  return absl::OkStatus();
}

void Batch::DropListener(const std::string& name) {
  next_.listeners.erase(name);
  change_.listeners[name] = index_;
  Summarize(fmt::format("listener {} removed", name));
}

absl::Status Batch::Do(const PutPool& op) { return Put(op.spec, Path("put_pool")); }

absl::Status Batch::Put(const PoolSpec& spec, const std::string& path) {
  if (auto status = ValidatePool(spec, path); !status.ok()) return status;
  if (auto status = CheckObject("pool", spec.name, path + ".name"); !status.ok()) return status;
  const DesiredPool* old = next_.FindPool(spec.name);
  if (old != nullptr && old->object->spec == spec) {
    ++result().unchanged;
    return absl::OkStatus();
  }
  auto object = std::make_shared<PoolObject>(PoolObject{spec, revision_});
  if (old == nullptr) {
    auto pool = std::make_shared<DesiredPool>();
    pool->object = std::move(object);
    next_.pools[spec.name] = std::move(pool);
    ++result().added;
  } else {
    const std::shared_ptr<const PoolObject> old_object = old->object;
    next_.MutablePool(spec.name).object = std::move(object);
    ++result().updated;
    DropRingDomains(old_object->spec, spec);
  }
  change_.pools.insert(spec.name);
  Summarize(fmt::format("pool {} with mode {}", spec.name, ModeName(EffectiveMode(spec))));
  return absl::OkStatus();
}

absl::Status Batch::Do(const SetMode& op) {
  const std::string path = Path("set_mode");
  if (auto status = NeedPool(op.pool, path + ".pool"); !status.ok()) return status;
  if (auto status = CheckObject("pool", op.pool, path + ".pool"); !status.ok()) return status;
  if (auto status = ValidateHashTableSize(op.hash_table_size, path + ".hash_table_size");
      !status.ok()) {
    return status;
  }
  const PoolSpec& old = next_.FindPool(op.pool)->object->spec;
  PoolSpec spec = old;
  if (EffectiveMode(old) != op.mode) spec.mode = op.mode;
  if (op.hash_key) spec.hash_key = op.hash_key;
  if (op.hash_table_size) spec.hash_table_size = op.hash_table_size;
  if (spec == old) {
    ++result().unchanged;
    return absl::OkStatus();
  }
  next_.MutablePool(op.pool).object =
      std::make_shared<PoolObject>(PoolObject{std::move(spec), revision_});
  ++result().updated;
  change_.pools.insert(op.pool);
  Summarize(fmt::format("mode {} {}", op.pool, ModeName(op.mode)));
  return absl::OkStatus();
}

absl::Status Batch::Do(const RemovePool& op) {
  const std::string path = Path("remove_pool.pool");
  if (auto status = ValidateName(op.pool, path); !status.ok()) return status;
  if (auto status = CheckObject("pool", op.pool, path); !status.ok()) return status;
  const DesiredPool* pool = next_.FindPool(op.pool);
  if (pool == nullptr) return absl::OkStatus();
  std::vector<std::string> users;
  for (const auto& [name, listener] : next_.listeners) {
    if (listener->spec.pool == op.pool) users.push_back(name);
  }
  if (!op.force && (!users.empty() || !pool->backends.empty())) {
    const std::string why = users.empty() ? fmt::format("it has {} backends", pool->backends.size())
                                          : fmt::format("listener '{}' leads to it", users.front());
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        fmt::format("{}: pool '{}' is in use: {}; `force` removes that too", path, op.pool, why),
        {.reason = "POOL_IN_USE",
         .metadata = {{"pool", op.pool}},
         .violations = {{path, fmt::format("in use: {}", why)}}});
  }
  for (const std::string& name : users) {
    DropListener(name);
    Warn(fmt::format("listener {} led to pool {} and is removed with it", name, op.pool));
  }
  DropPool(op.pool);
  result() = {.removed = 1};
  Summarize(fmt::format("pool {} removed", op.pool));
  return absl::OkStatus();
}

// With its backends, which are counted.
void Batch::DropPool(const std::string& name) {
  std::vector<Address> addresses;
  for (const auto& [address, backend] : next_.FindPool(name)->backends) {
    addresses.push_back(address);
  }
  for (const Address& address : addresses) {
    const auto is_any = [](const Claim&) { return true; };
    DropClaims(name, address, is_any, std::nullopt, /*warns=*/false, Forget::kOverride);
  }
  next_.pools.erase(name);
  change_.pools.insert(name);
}

// No two enabled listeners may have one protocol and address; seen at the end of the batch, so that
// two may swap theirs.
absl::Status Batch::CheckListenerAddresses() const {
  std::map<std::pair<std::string_view, std::string>, std::string> holders;
  for (const auto& [name, listener] : next_.listeners) {
    const ListenerSpec& spec = listener->spec;
    if (spec.disabled || spec.address.port() == 0) continue;
    const auto [holder, is_new] =
        holders.try_emplace({ProtocolName(spec), spec.address.ToString()}, name);
    if (is_new) continue;
    const auto& [first, second] = std::pair(holder->second, name);
    return BadField(
        ListenerAddressPath(change_, change_.listeners.contains(second) ? second : first),
        fmt::format("{} {} is the address of listener '{}' and of listener '{}'",
                    ProtocolName(spec), spec.address.ToString(), first, second));
  }
  return absl::OkStatus();
}

}  // namespace sidelb::control
