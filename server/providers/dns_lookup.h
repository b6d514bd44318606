// DnsLookup: one lookup of one domain, by c-ares on the control thread's io_context.
//
// It has a channel of c-ares of its own, made at its start and destroyed at its end: what
// /etc/resolv.conf and /etc/hosts say now counts, and no socket that has gone wrong is used twice.
// c-ares never blocks here: Asio waits for its sockets and its timeouts. Only the two files are
// read in place.
//
// Thread safety: the control thread. Ownership: the DnsResolver; what waits in Asio shares it.
#pragma once

#include <ares.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/control/model.h"
#include "server/providers/dns_message.h"
#include "server/providers/dns_result.h"

namespace sidelb::providers {

struct DnsSettings {
  std::vector<Address> servers;  // empty: those of /etc/resolv.conf
  absl::Duration deadline = absl::Milliseconds(4'500);
};

class DnsLookup : public std::enable_shared_from_this<DnsLookup> {
 public:
  using Callback = std::function<void(DnsResult)>;

  DnsLookup(boost::asio::any_io_executor executor, const DnsSettings& settings, std::string domain,
            control::RecordType record);
  ~DnsLookup();
  DnsLookup(const DnsLookup&) = delete;
  DnsLookup& operator=(const DnsLookup&) = delete;

  // Calls back once, never from within Start(). Of several servers, number `first_server` is asked
  // first.
  void Start(size_t first_server, Callback callback);
  // Ends it: it does not call back any more. Idempotent.
  void Cancel();

 private:
  // A question to a server, and what became of it.
  struct Question {
    DnsLookup* lookup;
    std::string name;
    DnsType type;
    bool is_answered = false;
    int status = ARES_ETIMEOUT;
    std::vector<DnsRecord> records;
  };
  // A socket of c-ares, which c-ares closes itself.
  struct Watch {
    Watch(const boost::asio::any_io_executor& executor, int fd) : descriptor(executor, fd) {}
    boost::asio::posix::stream_descriptor descriptor;
    bool is_released = false;
    bool wants_read = false, wants_write = false;
    bool awaits_read = false, awaits_write = false;
  };
  // What of one name, over its types, is known.
  struct Verdict {
    bool is_missing = true;  // every answer was NXDOMAIN
    bool has_failed = false;
    std::string error;
  };

  int OpenChannel(size_t first_server);
  int InitChannel(absl::Duration timeout);
  std::vector<ares_addr_port_node> ListServers() const;
  void MakeCandidates();
  std::vector<Address> FromHosts(const std::string& name);
  void Ask(const std::string& name);
  void AskCandidate();
  void AskTargets();
  static void OnReply(void* question, int status, int timeouts, unsigned char* data, int size);
  static void OnSocket(void* lookup, ares_socket_t fd, int readable, int writable);
  void Await(const std::shared_ptr<Watch>& watch, int fd, bool is_write);
  void ArmTimer();
  void Advance();
  void AdvanceSoon();
  void FinishStage();
  Verdict Judge() const;
  void TakeAddresses();
  void Finish(DnsResult result);

  const boost::asio::any_io_executor executor_;
  const DnsSettings settings_;
  const std::string domain_;
  const control::RecordType record_;
  Callback callback_;
  ares_channel channel_ = nullptr;
  boost::asio::steady_timer timer_;     // of c-ares
  boost::asio::steady_timer deadline_;  // of all of it
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::vector<std::string> candidates_;  // names to ask for, the first that exists counts
  size_t candidate_ = 0;
  bool has_seen_name_ = false;      // one of them exists, without such records
  std::deque<Question> questions_;  // of the present stage
  size_t asked_ = 0;                // the first of them that were sent
  size_t answered_ = 0;
  std::vector<DnsRecord> srv_;  // from the second stage on
  DnsResult result_;
  bool will_advance_ = false;
  bool is_late_ = false;  // the deadline has passed
  bool is_over_ = false;
};

}  // namespace sidelb::providers
