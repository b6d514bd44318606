#include "server/control/config_digest.h"

#include <iterator>

#include "fmt/format.h"

namespace sidelb::control {
namespace {

uint64_t Digest(std::string_view kind, std::string_view pool, std::string_view key,
                uint64_t revision) {
  fmt::memory_buffer text;
  fmt::format_to(std::back_inserter(text), "{}/{}/{}@{}", kind, pool, key, revision);
  return Fnv1a64({text.data(), text.size()});
}

}  // namespace

uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

uint64_t DigestOf(const ListenerObject& listener) {
  return Digest("listener", "", listener.spec.name, listener.revision);
}

uint64_t DigestOf(const PoolObject& pool) {
  return Digest("pool", "", pool.spec.name, pool.revision);
}

uint64_t DigestOf(const BackendObject& backend) {
  if (backend.claims.empty()) return 0;
  return Digest("backend", backend.pool, backend.address.ToString(), backend.revision);
}

uint64_t DigestOf(const StateView& view) {
  uint64_t digest = 0;
  for (const auto& entry : view.listeners) digest += DigestOf(*entry.object);
  for (const auto& entry : view.pools) digest += DigestOf(*entry.object);
  for (const auto& entry : view.backends) digest += DigestOf(*entry.object);
  return digest;
}

}  // namespace sidelb::control
