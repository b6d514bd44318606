// The work of ApplyBatch(), one method for each op. Included by batch*.cc only.
#pragma once

#include <functional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "server/control/batch.h"

namespace sidelb::control {

class Batch {
 public:
  Batch(const DesiredState& state, const ApplyRequest& request, absl::Time now);
  absl::StatusOr<Change> Run();
  // batch_leases.cc
  Change RunLease(LeaseEffect effect);
  Change RunExpiry();

 private:
  absl::Status RunOp(const Op& op);

  // batch_import.cc
  absl::Status Do(const ImportState& op);
  absl::Status CheckImported(const ImportedBackend& backend, const std::string& path);
  absl::Status ImportBackends(const ImportState& op, const std::string& state);
  BackendObject Imported(const ImportedBackend& given, bool replace_all);
  std::optional<Override> ImportedOverride(const ImportedBackend& given);
  void PutImported(BackendObject object);
  void PutAbsent(const ImportedBackend& given);
  void DropUnnamedBackends(const std::string& pool, const absl::flat_hash_set<Address>& named);

  // batch_objects.cc
  absl::Status Do(const PutListener& op);
  absl::Status Do(const RemoveListener& op);
  absl::Status Do(const PutPool& op);
  absl::Status Do(const RemovePool& op);
  absl::Status Do(const SetMode& op);
  absl::Status CheckListenerAddresses() const;
  absl::Status Put(const ListenerSpec& spec, const std::string& path);
  absl::Status Put(const PoolSpec& spec, const std::string& path);
  void DropListener(const std::string& name);
  void DropPool(const std::string& name);

  // batch_backends.cc
  absl::Status Do(const UpsertBackends& op);
  absl::Status Do(const RemoveBackends& op);
  absl::Status Do(const ReplaceBackends& op);
  absl::Status Do(const SetOverride& op);
  absl::Status CheckOverride(const SetOverride& op, const std::string& path) const;
  static absl::Status CheckImposed(const Override& override, const std::string& path);
  Override Merged(const SetOverride& op, const BackendObject& backend);
  void SetExpiry(const Override& wanted, const BackendObject& backend, Override* merged);
  absl::Status CheckBackends(const std::string& pool, const std::vector<BackendSpec>& backends,
                             const std::string& path);
  absl::Status CheckTarget(const std::string& pool, const Address& address,
                           const std::string& path);
  absl::StatusOr<std::vector<const BackendObject*>> Select(const SetOverride& op,
                                                           const std::string& path);
  bool ClearAbsent(const SetOverride& op, const Address& address);
  void NoteLeaving(const BackendObject& backend);
  absl::Status CheckCount() const;
  void Upsert(const std::string& pool, const BackendSpec& spec);
  // What becomes of the override when the last claim goes.
  enum class Forget : uint8_t { kOverride, kNothing };
  void DropClaims(const std::string& pool, const Address& address,
                  const std::function<bool(const Claim&)>& is_dropped,
                  const std::optional<DrainSpec>& drain, bool warns, Forget forget);
  void KeepOverride(const std::string& pool, const Address& address, const Override& override);
  void TakeOverrideBack(BackendObject* object);
  void Finish();
  void DropRingDomains(const PoolSpec& old_spec, const PoolSpec& spec);
  void PutBackend(const std::string& pool, BackendObject object);

  // Shared.
  absl::Status CheckObject(const char* kind, const std::string& name, const std::string& path);
  void Warn(std::string warning);
  void Summarize(std::string words);
  absl::Status NeedPool(const std::string& name, const std::string& path) const;
  absl::Status CheckExpected(const Op& op) const;
  std::optional<uint64_t> RevisionOf(const Op& op) const;
  void TouchPool(const std::string& name);
  std::string Path(const char* op) const;  // "ops[3].upsert_backends"
  OpResult& result() { return change_.results.back(); }

  const DesiredState& before_;
  const ApplyRequest& request_;
  const absl::Time now_;
  const uint64_t revision_;  // that the changes get
  size_t index_ = 0;         // of the present op
  Change change_;
  DesiredState& next_;
  absl::flat_hash_set<BackendKey> targets_;    // backends named by ops on claims
  absl::flat_hash_set<std::string> replaced_;  // pools whose backends an op has replaced
  absl::flat_hash_set<std::string> objects_;   // listeners and pools named by ops on them
  size_t warnings_ = 0;                        // also those that are not told
};

}  // namespace sidelb::control
