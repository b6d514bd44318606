// DnsServer: a DNS server for tests on one port of 127.0.0.1, over UDP and TCP, that answers what
// it is told to. What does not fit in 512 bytes is cut over UDP, as a real server does.
//
// Thread safety: any thread. Ownership: the test; its destructor ends it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"
#include "tests/support/tcp.h"

namespace sidelb::testing {

inline constexpr uint16_t kTypeA = 1, kTypeCname = 5, kTypeAaaa = 28, kTypeSrv = 33;
inline constexpr int kNoError = 0, kServfail = 2, kNxdomain = 3, kRefused = 5;

struct DnsData {
  uint16_t type;
  uint32_t ttl;
  std::string bytes;
};
DnsData RecordA(std::string_view ip, uint32_t ttl = 0);
DnsData RecordAaaa(std::string_view ip, uint32_t ttl = 0);
DnsData RecordCname(std::string_view target, uint32_t ttl = 0);
DnsData RecordSrv(uint16_t priority, uint16_t weight, uint16_t port, std::string_view target,
                  uint32_t ttl = 0);
// Of one label after the other, as in a message.
std::string DnsName(std::string_view name);
// An answer to `query`.
std::string DnsMessage(std::string_view query, int rcode, const std::vector<DnsData>& records);

class DnsServer {
 public:
  struct Reply {
    int rcode = kNoError;
    std::vector<DnsData> records;
    bool is_silent = false;  // says nothing
  };

  DnsServer();
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  const Address& address() const { return address_; }

  // The answer from now on. A name of which nothing is set is NXDOMAIN; one of which only other
  // types are set has no such records.
  void Set(const std::string& name, uint16_t type, Reply reply);
  void SetA(const std::string& name, const std::vector<std::string>& ips, uint32_t ttl = 0);
  // For every name and type, whatever is set.
  void SetAll(Reply reply);
  void ClearAll();

  // Answers wait from now on, until Release().
  void Hold();
  void Release();

  // How often it was asked so far; over TCP.
  uint64_t asked(const std::string& name, uint16_t type);
  uint64_t asked_over_tcp();
  // Returns when it has been asked `count` times more for the name; false after the limit.
  bool WaitForQuestions(const std::string& name, uint16_t type, uint64_t count);

 private:
  using Key = std::pair<std::string, uint16_t>;

  void Run();
  void ServeTcp(TcpSocket& socket);
  std::string Answer(std::string_view query, bool is_tcp);
  Reply ReplyTo(const Key& key);

  UniqueFd udp_, wake_;
  Address address_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Reply> replies_;
  std::map<Key, uint64_t> asked_;
  uint64_t asked_over_tcp_ = 0;
  bool has_all_ = false;
  Reply all_;
  bool is_held_ = false;
  bool is_stopping_ = false;
  std::unique_ptr<TcpServer> tcp_;
  std::thread thread_;  // of UDP
};

}  // namespace sidelb::testing
