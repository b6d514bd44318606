#include "server/providers/dns_lookup.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <set>
#include <utility>

#include "fmt/format.h"

namespace sidelb::providers {
namespace {

constexpr size_t kMaxInFlight = 64;
constexpr size_t kMaxTargets = 1'024;
constexpr int kTries = 2;
constexpr int kLeastTimeoutMs = 50;
// /etc/hosts names no time; it is looked at again soon, because it changes without notice.
constexpr absl::Duration kHostsTtl = absl::Seconds(10);

// As people name them in DNS; c-ares' own words fill a line.
std::string StatusName(int status) {
  switch (status) {
    case ARES_ENODATA:
      return "no such record";
    case ARES_ENOTFOUND:
      return "NXDOMAIN";
    case ARES_ESERVFAIL:
      return "SERVFAIL";
    case ARES_EREFUSED:
      return "REFUSED";
    case ARES_EFORMERR:
      return "FORMERR";
    case ARES_ENOTIMP:
      return "NOTIMP";
    case ARES_ETIMEOUT:
      return "no answer in time";
    case ARES_ECONNREFUSED:
      return "the resolver cannot be reached";
    case ARES_EBADRESP:
      return "a malformed answer";
    default:
      return ares_strerror(status);
  }
}

const char* TypeName(DnsType type) {
  return type == DnsType::kA ? "A" : type == DnsType::kAaaa ? "AAAA" : "SRV";
}

Address FromAddrinfo(const ares_addrinfo_node& node) {
  return Address::FromSockaddr(node.ai_addr, node.ai_addrlen);
}

}  // namespace

DnsLookup::DnsLookup(boost::asio::any_io_executor executor, const DnsSettings& settings,
                     std::string domain, control::RecordType record)
    : executor_(std::move(executor)),
      settings_(settings),
      domain_(std::move(domain)),
      record_(record),
      timer_(executor_),
      deadline_(executor_) {}

DnsLookup::~DnsLookup() { Cancel(); }

void DnsLookup::Start(size_t first_server, Callback callback) {
  callback_ = std::move(callback);
  const int status = OpenChannel(first_server);
  deadline_.expires_after(absl::ToChronoNanoseconds(settings_.deadline));
  deadline_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    // What was not answered counts as failed, the rest stands.
    if (error || self->is_over_) return;
    self->is_late_ = true;
    self->FinishStage();
  });
  if (status != ARES_SUCCESS) {
    boost::asio::post(executor_, [self = shared_from_this(), status] {
      if (!self->is_over_) self->Finish({.error = StatusName(status)});
    });
    return;
  }
  MakeCandidates();
  AskCandidate();
}

void DnsLookup::Cancel() {
  is_over_ = true;
  callback_ = nullptr;
  timer_.cancel();
  deadline_.cancel();
  // Answers every question, and releases every socket before it closes it.
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
}

// ---- The channel ----

int DnsLookup::InitChannel(absl::Duration timeout) {
  ares_options options{};
  // A SERVFAIL or REFUSED is an answer: else c-ares reports them as an unreachable server. The next
  // lookup asks the next server.
  options.flags = ARES_FLAG_NOCHECKRESP;
  options.timeout = std::max(static_cast<int>(absl::ToInt64Milliseconds(timeout)), kLeastTimeoutMs);
  options.tries = kTries;
  // For ares_getaddrinfo() below: only /etc/hosts. DNS is asked by ares_query().
  char lookups[] = "f";
  options.lookups = lookups;
  options.sock_state_cb = &DnsLookup::OnSocket;
  options.sock_state_cb_data = this;
  return ares_init_options(&channel_, &options,
                           ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                               ARES_OPT_SOCK_STATE_CB);
}

std::vector<ares_addr_port_node> DnsLookup::ListServers() const {
  std::vector<ares_addr_port_node> list;
  for (const Address& address : settings_.servers) {
    ares_addr_port_node& server = list.emplace_back();
    server.family = address.family();
    server.udp_port = server.tcp_port = address.port();
    if (address.is_v6()) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address.data());
      std::memcpy(&server.addr.addr6, &v6->sin6_addr, sizeof(v6->sin6_addr));
    } else {
      server.addr.addr4 = reinterpret_cast<const sockaddr_in*>(address.data())->sin_addr;
    }
  }
  if (!list.empty()) return list;
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel_, &servers) != ARES_SUCCESS) return list;
  for (const ares_addr_port_node* one = servers; one != nullptr; one = one->next) {
    list.push_back(*one);
  }
  ares_free_data(servers);
  return list;
}

int DnsLookup::OpenChannel(size_t first_server) {
  // c-ares doubles its timeout for the second round over the servers: 3 timeouts for each. A little
  // is left for its clock, so that it is c-ares that says what happened.
  const absl::Duration budget = settings_.deadline * 0.95 / 3;
  if (int status = InitChannel(budget); status != ARES_SUCCESS) return status;
  std::vector<ares_addr_port_node> servers = ListServers();
  if (servers.empty()) return ARES_SUCCESS;
  if (servers.size() > 1) {
    std::rotate(servers.begin(),
                servers.begin() + static_cast<ptrdiff_t>(first_server % servers.size()),
                servers.end());
    // The timeout can be set at the start only.
    ares_destroy(std::exchange(channel_, nullptr));
    const int status = InitChannel(budget / static_cast<int64_t>(servers.size()));
    if (status != ARES_SUCCESS) return status;
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    servers[i].next = i + 1 < servers.size() ? &servers[i + 1] : nullptr;
  }
  return ares_set_servers_ports(channel_, servers.data());
}

// A name with a dot is taken as it is. One without is looked for in the search domains too, as
// resolv.conf(5) says, because that is how containers and hosts of one network name each other.
void DnsLookup::MakeCandidates() {
  if (domain_.find('.') != std::string::npos || !settings_.servers.empty()) {
    candidates_ = {domain_};
    return;
  }
  ares_options options{};
  int mask = 0;
  if (ares_save_options(channel_, &options, &mask) == ARES_SUCCESS) {
    for (int i = 0; (mask & ARES_OPT_DOMAINS) != 0 && i < options.ndomains; ++i) {
      candidates_.push_back(fmt::format("{}.{}", domain_, options.domains[i]));
    }
  }
  const bool is_first = (mask & ARES_OPT_NDOTS) != 0 && options.ndots <= 0;
  candidates_.insert(is_first ? candidates_.begin() : candidates_.end(), domain_);
  ares_destroy_options(&options);
}

// ---- Questions ----

std::vector<Address> DnsLookup::FromHosts(const std::string& name) {
  ares_addrinfo_hints hints{};
  hints.ai_flags = ARES_AI_NOSORT;  // sorting would open sockets
  hints.ai_family = AF_UNSPEC;
  std::vector<Address> found;
  const auto take = [](void* into, int status, int, ares_addrinfo* result) {
    if (status == ARES_SUCCESS) {
      for (const ares_addrinfo_node* node = result->nodes; node != nullptr; node = node->ai_next) {
        static_cast<std::vector<Address>*>(into)->push_back(FromAddrinfo(*node).WithPort(0));
      }
    }
    if (result != nullptr) ares_freeaddrinfo(result);
  };
  // It calls back before it returns, because nothing but the file is looked at.
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, take, &found);
  return found;
}

void DnsLookup::Ask(const std::string& name) {
  const bool wants_v4 = record_ != control::RecordType::kAaaa;
  const bool wants_v6 = record_ != control::RecordType::kA;
  if (wants_v4) questions_.push_back({.lookup = this, .name = name, .type = DnsType::kA});
  if (wants_v6) {
    questions_.push_back({.lookup = this, .name = name, .type = DnsType::kAaaa});
  }
}

void DnsLookup::AskCandidate() {
  questions_.clear();
  asked_ = answered_ = 0;
  const std::string& name = candidates_[candidate_];
  if (record_ == control::RecordType::kSrv) {
    questions_.push_back({.lookup = this, .name = name, .type = DnsType::kSrv});
    return AdvanceSoon();
  }
  if (candidate_ == 0) {
    // As getaddrinfo(3): what the file says of a name is all there is.
    std::string plain = domain_;  // the file writes no last dot
    if (plain.ends_with('.')) plain.pop_back();
    for (const Address& address : FromHosts(plain)) {
      if (address.is_v6() ? record_ == control::RecordType::kA
                          : record_ == control::RecordType::kAaaa) {
        continue;
      }
      result_.targets.push_back({.address = address, .ttl = kHostsTtl});
    }
  }
  if (result_.targets.empty()) Ask(name);
  AdvanceSoon();
}

// The second stage of SRV: the addresses of the targets, each once for each record.
void DnsLookup::AskTargets() {
  questions_.clear();
  asked_ = answered_ = 0;
  std::map<std::string, std::vector<Address>> from_hosts;
  for (const DnsRecord& record : srv_) {
    const auto [found, is_new] = from_hosts.try_emplace(record.target);
    if (is_new) found->second = FromHosts(record.target);
    for (const Address& address : found->second) {
      result_.targets.push_back({.address = address.WithPort(record.port),
                                 .ttl = std::min(record.ttl, kHostsTtl),
                                 .priority = record.priority,
                                 .weight = record.weight});
    }
    if (is_new && found->second.empty()) Ask(record.target);
  }
  AdvanceSoon();
}

void DnsLookup::OnReply(void* question, int status, int, unsigned char* data, int size) {
  auto& asked = *static_cast<Question*>(question);
  DnsLookup& self = *asked.lookup;
  if (self.is_over_) return;
  asked.is_answered = true;
  asked.status = status;
  if (status == ARES_SUCCESS) {
    auto records = ReadAnswers({data, static_cast<size_t>(size)}, asked.type);
    if (!records) {
      asked.status = ARES_EBADRESP;
    } else if (records->empty()) {
      asked.status = ARES_ENODATA;
    } else {
      asked.records = *std::move(records);
    }
  }
  ++self.answered_;
  self.AdvanceSoon();
}

// Later, because c-ares may be calling now.
void DnsLookup::AdvanceSoon() {
  if (std::exchange(will_advance_, true)) return;
  boost::asio::post(executor_, [self = shared_from_this()] {
    self->will_advance_ = false;
    if (!self->is_over_) self->Advance();
  });
}

void DnsLookup::Advance() {
  if (answered_ == questions_.size()) return FinishStage();
  while (asked_ < questions_.size() && asked_ - answered_ < kMaxInFlight) {
    Question& question = questions_[asked_++];
    ares_query(channel_, question.name.c_str(), 1, static_cast<int>(question.type),
               &DnsLookup::OnReply, &question);
  }
  ArmTimer();
}

// ---- What the answers mean ----

DnsLookup::Verdict DnsLookup::Judge() const {
  Verdict verdict;
  for (const Question& question : questions_) {
    if (question.status == ARES_SUCCESS || question.status == ARES_ENODATA) {
      verdict.is_missing = false;
    } else if (question.status != ARES_ENOTFOUND) {
      verdict.is_missing = false;
      verdict.has_failed = true;
      if (verdict.error.empty()) {
        verdict.error = fmt::format("{} {}: {}", TypeName(question.type), question.name,
                                    StatusName(question.status));
      }
    }
  }
  return verdict;
}

void DnsLookup::TakeAddresses() {
  for (const Question& question : questions_) {
    const bool has_failed = question.status != ARES_SUCCESS && question.status != ARES_ENODATA &&
                            question.status != ARES_ENOTFOUND;
    // A target's addresses may be of any family and port: nothing may be concluded from them.
    if (has_failed && question.type == DnsType::kA) result_.has_all_v4 = false;
    if (has_failed && question.type == DnsType::kAaaa) result_.has_all_v6 = false;
    for (const DnsRecord& record : question.records) {
      if (srv_.empty()) {
        result_.targets.push_back({.address = record.address, .ttl = record.ttl});
        continue;
      }
      for (const DnsRecord& srv : srv_) {
        if (srv.target != question.name) continue;
        result_.targets.push_back({.address = record.address.WithPort(srv.port),
                                   .ttl = std::min(record.ttl, srv.ttl),
                                   .priority = srv.priority,
                                   .weight = srv.weight});
      }
    }
  }
}

// All questions of a stage are answered, or the time is up.
void DnsLookup::FinishStage() {
  const bool is_first_of_srv = record_ == control::RecordType::kSrv && srv_.empty();
  const Verdict verdict = Judge();
  if (is_first_of_srv && !questions_.empty() && questions_[0].status == ARES_SUCCESS) {
    for (const DnsRecord& record : questions_[0].records) {
      // RFC 2782: "." says that the service is decidedly not there.
      if (!record.target.empty() && record.port != 0) srv_.push_back(record);
    }
    if (srv_.size() > kMaxTargets) {
      return Finish(
          {.error = fmt::format("{} SRV records; allowed: at most {}", srv_.size(), kMaxTargets)});
    }
    if (srv_.empty()) return Finish({.outcome = DnsOutcome::kEmpty, .error = "no such record"});
    return is_late_ ? Finish({.error = StatusName(ARES_ETIMEOUT)}) : AskTargets();
  }
  if (!is_first_of_srv) TakeAddresses();
  if (!result_.targets.empty()) {
    result_.outcome = DnsOutcome::kAnswer;
    result_.error = verdict.error;
    return Finish(std::move(result_));
  }
  if (verdict.has_failed) return Finish({.error = verdict.error});
  // A record exists; that its target does not is no NXDOMAIN of the domain.
  if (!srv_.empty()) {
    return Finish({.outcome = DnsOutcome::kEmpty, .error = "no target has an address"});
  }
  has_seen_name_ = has_seen_name_ || !verdict.is_missing;
  if (++candidate_ < candidates_.size()) {
    return is_late_ ? Finish({.error = StatusName(ARES_ETIMEOUT)}) : AskCandidate();
  }
  Finish(has_seen_name_ ? DnsResult{.outcome = DnsOutcome::kEmpty, .error = "no such record"}
                        : DnsResult{.outcome = DnsOutcome::kNoDomain, .error = "NXDOMAIN"});
}

void DnsLookup::Finish(DnsResult result) {
  // The resolver lets go of it in the callback.
  const std::shared_ptr<DnsLookup> self = shared_from_this();
  const Callback callback = std::move(callback_);
  Cancel();
  if (callback) callback(std::move(result));
}

// ---- Sockets and time ----

void DnsLookup::OnSocket(void* lookup, ares_socket_t fd, int readable, int writable) {
  DnsLookup& self = *static_cast<DnsLookup*>(lookup);
  const auto found = self.watches_.find(fd);
  if (readable == 0 && writable == 0) {
    if (found == self.watches_.end()) return;
    const std::shared_ptr<Watch> watch = std::move(found->second);
    self.watches_.erase(found);
    watch->is_released = true;
    watch->descriptor.release();  // c-ares closes it next
    return;
  }
  if (self.is_over_) return;
  if (found == self.watches_.end()) {
    self.watches_[fd] = std::make_shared<Watch>(self.executor_, fd);
  }
  const std::shared_ptr<Watch>& watch = self.watches_[fd];
  watch->wants_read = readable != 0;
  watch->wants_write = writable != 0;
  self.Await(watch, fd, /*is_write=*/false);
  self.Await(watch, fd, /*is_write=*/true);
}

void DnsLookup::Await(const std::shared_ptr<Watch>& watch, int fd, bool is_write) {
  using boost::asio::posix::stream_descriptor;
  bool& awaits = is_write ? watch->awaits_write : watch->awaits_read;
  if (!(is_write ? watch->wants_write : watch->wants_read) || awaits) return;
  awaits = true;
  watch->descriptor.async_wait(
      is_write ? stream_descriptor::wait_write : stream_descriptor::wait_read,
      [self = shared_from_this(), watch, fd, is_write](const boost::system::error_code& error) {
        (is_write ? watch->awaits_write : watch->awaits_read) = false;
        // Released after this was queued: the number may be another socket's by now.
        if (error || watch->is_released || self->is_over_) return;
        if (is_write ? watch->wants_write : watch->wants_read) {
          ares_process_fd(self->channel_, is_write ? ARES_SOCKET_BAD : fd,
                          is_write ? fd : ARES_SOCKET_BAD);
        }
        if (!watch->is_released) self->Await(watch, fd, is_write);
        self->ArmTimer();
      });
}

void DnsLookup::ArmTimer() {
  timeval wait{};
  if (ares_timeout(channel_, nullptr, &wait) == nullptr) {
    timer_.cancel();
    return;
  }
  timer_.expires_after(std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec) +
                       std::chrono::milliseconds(1));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->is_over_) return;
    ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    self->ArmTimer();
  });
}

}  // namespace sidelb::providers
