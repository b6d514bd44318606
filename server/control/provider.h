// Provider: a source of backends inside of the daemon, and what the control thread lends to it.
//
// Thread safety: the control thread, but for the constructor, which runs before that thread does.
// Ownership: the ControlLoop, which outlives it and all that it waits for.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/desired_state.h"
#include "server/control/pool_reading.h"

namespace sidelb::control {

class Provider {
 public:
  virtual ~Provider() = default;

  // These pools were changed, or are gone. It may not call apply() before it returns.
  virtual void OnPools(const DesiredState& desired, const std::set<std::string>& pools) = 0;
  // What needs a person, for GetInfo.
  virtual std::vector<Condition> GetConditions() const = 0;
  // Nothing is changed, and nothing waits in the executor, from here on. Idempotent.
  virtual void Stop() = 0;
};

struct ProviderPort {
  boost::asio::any_io_executor executor;  // of the control thread
  std::function<absl::Time()> now;
  // One batch, as by Controller::Apply().
  std::function<void(ApplyRequest, std::function<void(absl::StatusOr<ApplyResponse>)>)> apply;
  std::function<std::optional<PoolReading>(const std::string& pool, const std::string& owner)>
      read_pool;
  std::function<uint64_t(const std::string& pool)> connect_failures;
};

using MakeProvider = std::function<std::unique_ptr<Provider>(ProviderPort)>;

}  // namespace sidelb::control
