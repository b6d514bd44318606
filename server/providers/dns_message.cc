#include "server/providers/dns_message.h"

#include <ares.h>

#include <algorithm>
#include <cstring>

namespace sidelb::providers {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kQuestionBytes = 4;  // behind its name
constexpr size_t kRecordBytes = 10;   // between its name and its data
constexpr uint16_t kInternet = 1;

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> message) : message_(message) {}

  bool Has(size_t bytes) const { return message_.size() - at_ >= bytes; }
  void Skip(size_t bytes) { at_ += bytes; }
  size_t at() const { return at_; }
  void Seek(size_t at) { at_ = at; }
  const uint8_t* here() const { return message_.data() + at_; }

  uint16_t U16() {
    const auto value = static_cast<uint16_t>(here()[0] << 8 | here()[1]);
    at_ += 2;
    return value;
  }
  uint32_t U32() {
    const uint32_t high = U16();
    return high << 16 | U16();
  }
  std::optional<std::string> Name() {
    char* text = nullptr;
    long bytes = 0;
    if (ares_expand_name(here(), message_.data(), static_cast<int>(message_.size()), &text,
                         &bytes) != ARES_SUCCESS) {
      return std::nullopt;
    }
    std::string name(text);
    ares_free_string(text);
    if (bytes < 0 || !Has(static_cast<size_t>(bytes))) return std::nullopt;
    at_ += static_cast<size_t>(bytes);
    return name;
  }

 private:
  const std::span<const uint8_t> message_;
  size_t at_ = 0;  // never behind the end
};

Address ReadAddress(const uint8_t* data, DnsType type) {
  if (type == DnsType::kA) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, data, sizeof(v4.sin_addr));
    return Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  std::memcpy(&v6.sin6_addr, data, sizeof(v6.sin6_addr));
  return Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
}

}  // namespace

std::optional<std::vector<DnsRecord>> ReadAnswers(std::span<const uint8_t> message, DnsType type) {
  Reader reader(message);
  if (message.size() > UINT16_MAX || !reader.Has(kHeaderBytes)) return std::nullopt;
  reader.Skip(4);
  const uint16_t questions = reader.U16();
  const uint16_t answers = reader.U16();
  reader.Seek(kHeaderBytes);
  for (uint16_t i = 0; i < questions; ++i) {
    if (!reader.Name() || !reader.Has(kQuestionBytes)) return std::nullopt;
    reader.Skip(kQuestionBytes);
  }
  std::vector<DnsRecord> records;
  absl::Duration alias_ttl = absl::InfiniteDuration();
  for (uint16_t i = 0; i < answers; ++i) {
    if (!reader.Name() || !reader.Has(kRecordBytes)) return std::nullopt;
    const auto of_type = static_cast<DnsType>(reader.U16());
    const uint16_t of_class = reader.U16();
    const auto seconds = static_cast<int32_t>(reader.U32());
    // RFC 2181: the highest bit set means 0.
    const absl::Duration ttl = absl::Seconds(std::max(seconds, 0));
    const size_t size = reader.U16();
    if (!reader.Has(size)) return std::nullopt;
    const size_t next = reader.at() + size;
    if (of_class == kInternet && of_type == DnsType::kCname) {
      alias_ttl = std::min(alias_ttl, ttl);
    } else if (of_class == kInternet && of_type == type) {
      DnsRecord record{.ttl = ttl};
      if (type == DnsType::kSrv) {
        if (size < 7) return std::nullopt;
        record.priority = reader.U16();
        record.weight = reader.U16();
        record.port = reader.U16();
        const std::optional<std::string> target = reader.Name();
        if (!target || reader.at() > next) return std::nullopt;
        record.target = *target;
      } else {
        if (size != (type == DnsType::kA ? 4 : 16)) return std::nullopt;
        record.address = ReadAddress(reader.here(), type);
      }
      records.push_back(std::move(record));
    }
    reader.Seek(next);
  }
  for (DnsRecord& record : records) record.ttl = std::min(record.ttl, alias_ttl);
  return records;
}

}  // namespace sidelb::providers
