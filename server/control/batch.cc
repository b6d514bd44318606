#include "server/control/batch.h"

#include <variant>

#include "fmt/format.h"
#include "server/control/batch_impl.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {
namespace {

// More of them are counted instead of told.
constexpr size_t kMaxWarnings = 20;
constexpr size_t kMaxSummary = 10;

absl::Status RevisionMismatch(std::string_view path, uint64_t expected, uint64_t current) {
  return MakeError(
      absl::StatusCode::kAborted,
      fmt::format("{}: {} was expected, it is {}", path, expected, current),
      {.reason = "REVISION_MISMATCH",
       .metadata = {{"current", std::to_string(current)}, {"expected", std::to_string(expected)}},
       .violations = {{std::string(path), fmt::format("it is {}", current)}}});
}

}  // namespace

absl::StatusOr<Change> ApplyBatch(const DesiredState& state, const ApplyRequest& request,
                                  absl::Time now) {
  return Batch(state, request, now).Run();
}

Batch::Batch(const DesiredState& state, const ApplyRequest& request, absl::Time now)
    : before_(state),
      request_(request),
      now_(now),
      revision_(state.revision + 1),
      next_(change_.next) {
  next_ = state;
}

absl::StatusOr<Change> Batch::Run() {
  if (auto status = ValidateOwner(request_); !status.ok()) return status;
  if (request_.ops.size() > kMaxOps) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     fmt::format("ops: {}; allowed: at most {}", request_.ops.size(), kMaxOps),
                     {.reason = "TOO_MANY_OPS", .metadata = {{"max", std::to_string(kMaxOps)}}});
  }
  if (auto status = ValidateText(request_.comment, "comment"); !status.ok()) return status;
  if (request_.expected_revision.has_value() && *request_.expected_revision != before_.revision) {
    return RevisionMismatch("expected_revision", *request_.expected_revision, before_.revision);
  }
  for (index_ = 0; index_ < request_.ops.size(); ++index_) {
    change_.results.emplace_back();
    const Op& op = request_.ops[index_];
    if (auto status = CheckExpected(op); !status.ok()) return status;
    if (auto status = RunOp(op); !status.ok()) return status;
  }
  if (auto status = CheckListenerAddresses(); !status.ok()) return status;
  if (auto status = CheckCount(); !status.ok()) return status;
  Finish();
  return std::move(change_);
}

void Batch::Finish() {
  if (warnings_ > kMaxWarnings) {
    change_.warnings.push_back(fmt::format("and {} more warnings", warnings_ - kMaxWarnings));
  }
  change_.has_changed = !change_.listeners.empty() || !change_.pools.empty();
  if (change_.has_changed) next_.revision = revision_;
}

absl::Status Batch::RunOp(const Op& op) {
  return std::visit([this](const auto& one) { return Do(one); }, op.op);
}

std::string Batch::Path(const char* op) const { return fmt::format("ops[{}].{}", index_, op); }

// The revision of the object that an op names, as the caller may have read it: before the batch.
// nullopt when it did not exist.
std::optional<uint64_t> Batch::RevisionOf(const Op& op) const {
  const auto of_listener = [&](const std::string& name) -> std::optional<uint64_t> {
    const ListenerObject* listener = before_.FindListener(name);
    return listener == nullptr ? std::nullopt : std::optional(listener->revision);
  };
  const auto of_pool = [&](const std::string& name) -> std::optional<uint64_t> {
    const DesiredPool* pool = before_.FindPool(name);
    return pool == nullptr ? std::nullopt : std::optional(pool->object->revision);
  };
  if (const auto* put = std::get_if<PutListener>(&op.op)) return of_listener(put->spec.name);
  if (const auto* remove = std::get_if<RemoveListener>(&op.op)) return of_listener(remove->name);
  if (const auto* put = std::get_if<PutPool>(&op.op)) return of_pool(put->spec.name);
  // It names the whole configuration.
  if (std::holds_alternative<ImportState>(op.op)) return before_.revision;
  return std::visit(
      [&](const auto& one) -> std::optional<uint64_t> {
        if constexpr (requires { one.pool; }) {
          return of_pool(one.pool);
        } else {
          return std::nullopt;
        }
      },
      op.op);
}

absl::Status Batch::CheckExpected(const Op& op) const {
  if (!op.expected_revision.has_value()) return absl::OkStatus();
  const uint64_t current = RevisionOf(op).value_or(0);
  if (*op.expected_revision == current) return absl::OkStatus();
  return RevisionMismatch(fmt::format("ops[{}].expected_revision", index_), *op.expected_revision,
                          current);
}

absl::Status Batch::NeedPool(const std::string& name, const std::string& path) const {
  if (auto status = ValidateName(name, path); !status.ok()) return status;
  if (next_.FindPool(name) != nullptr) return absl::OkStatus();
  return MakeError(absl::StatusCode::kNotFound,
                   fmt::format("{}: there is no pool '{}'", path, name),
                   {.reason = "POOL_NOT_FOUND",
                    .metadata = {{"pool", name}},
                    .violations = {{path, "there is no such pool"}}});
}

// One batch may say one thing of a listener or a pool itself; two would hide a mistake.
absl::Status Batch::CheckObject(const char* kind, const std::string& name,
                                const std::string& path) {
  if (objects_.insert(fmt::format("{}/{}", kind, name)).second) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument,
                   fmt::format("{}: {} '{}' is named twice in this batch", path, kind, name),
                   {.reason = "DUPLICATE_TARGET", .violations = {{path, "named twice"}}});
}

void Batch::Warn(std::string warning) {
  if (++warnings_ <= kMaxWarnings) change_.warnings.push_back(std::move(warning));
}

void Batch::Summarize(std::string words) {
  if (change_.summary.size() < kMaxSummary) {
    change_.summary.push_back(std::move(words));
  } else if (change_.summary.size() == kMaxSummary) {
    change_.summary.push_back("and more");
  }
}

// The pool's revision follows every change of its configuration and of its backends.
void Batch::TouchPool(const std::string& name) {
  DesiredPool& pool = next_.MutablePool(name);
  if (pool.object->revision != revision_) {
    pool.object = std::make_shared<PoolObject>(PoolObject{pool.object->spec, revision_});
  }
  change_.pools.insert(name);
}

}  // namespace sidelb::control
