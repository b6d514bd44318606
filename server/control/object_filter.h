// ObjectFilter: a Filter that is ready to be asked often. What reads, watches and statistics
// select.
//
// Thread safety: immutable; any thread. Ownership: it keeps a copy of the filter.
#pragma once

#include <string>

#include "absl/container/flat_hash_set.h"
#include "server/control/model.h"

namespace sidelb::control {

class ObjectFilter {
 public:
  explicit ObjectFilter(Filter filter);

  bool Allows(const ListenerObject& listener) const;
  bool Allows(const PoolObject& pool) const {
    return filter_.with_pools && AllowsPool(pool.spec.name);
  }
  bool Allows(const BackendObject& backend, BackendState state) const;
  // A lease belongs to no pool: a filter by pools or listeners selects none.
  bool Allows(const Lease& lease) const;

  // Whether objects of this pool, or that lead to it, can be selected.
  bool AllowsPool(const std::string& name) const { return pools_.empty() || pools_.contains(name); }
  bool with_backends() const { return filter_.with_backends; }
  // Whether the selection depends on what is observed, not on configuration alone.
  bool depends_on_state() const { return !filter_.states.empty(); }
  // Whether it selects everything.
  bool is_all() const { return is_all_; }

 private:
  Filter filter_;  // its lists of names and addresses are in the sets below
  absl::flat_hash_set<std::string> pools_;
  absl::flat_hash_set<std::string> listeners_;
  absl::flat_hash_set<Address> addresses_;  // there may be as many as backends
  bool is_all_ = false;
};

}  // namespace sidelb::control
