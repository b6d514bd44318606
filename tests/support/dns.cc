#include "tests/support/dns.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <optional>

namespace sidelb::testing {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kUdpBytes = 512;

std::string U16(size_t value) {
  return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}
std::string U32(uint32_t value) { return U16(value >> 16) + U16(value & 0xffff); }

struct Question {
  std::string name;
  uint16_t type = 0;
  size_t end = 0;  // of it in the message
};

std::optional<Question> ReadQuestion(std::string_view query) {
  Question question;
  size_t at = kHeaderBytes;
  while (at < query.size() && query[at] != 0) {
    const size_t length = static_cast<unsigned char>(query[at]);
    if (at + 1 + length >= query.size()) return std::nullopt;
    if (!question.name.empty()) question.name += '.';
    for (char c : query.substr(at + 1, length)) {
      question.name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    at += 1 + length;
  }
  if (at + 5 > query.size()) return std::nullopt;
  question.type = static_cast<uint16_t>(static_cast<unsigned char>(query[at + 1]) << 8 |
                                        static_cast<unsigned char>(query[at + 2]));
  question.end = at + 5;
  return question;
}

std::string Ip(int family, std::string_view text, size_t size) {
  std::string bytes(size, '\0');
  if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) std::abort();
  return bytes;
}

}  // namespace

std::string DnsName(std::string_view name) {
  std::string bytes;
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    bytes += static_cast<char>(dot);
    bytes += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return bytes + '\0';
}

DnsData RecordA(std::string_view ip, uint32_t ttl) { return {kTypeA, ttl, Ip(AF_INET, ip, 4)}; }
DnsData RecordAaaa(std::string_view ip, uint32_t ttl) {
  return {kTypeAaaa, ttl, Ip(AF_INET6, ip, 16)};
}
DnsData RecordCname(std::string_view target, uint32_t ttl) {
  return {kTypeCname, ttl, DnsName(target)};
}
DnsData RecordSrv(uint16_t priority, uint16_t weight, uint16_t port, std::string_view target,
                  uint32_t ttl) {
  return {kTypeSrv, ttl, U16(priority) + U16(weight) + U16(port) + DnsName(target)};
}

std::string DnsMessage(std::string_view query, int rcode, const std::vector<DnsData>& records) {
  const auto question = ReadQuestion(query);
  if (!question) return "";
  // An answer, recursion desired and available.
  std::string message =
      std::string(query.substr(0, 2)) + U16(0x8180u | static_cast<unsigned>(rcode));
  message += U16(1) + U16(records.size()) + U16(0) + U16(0);
  message += query.substr(kHeaderBytes, question->end - kHeaderBytes);
  for (const DnsData& record : records) {
    message += U16(0xc000 | kHeaderBytes);  // the name of the question
    message += U16(record.type) + U16(1) + U32(record.ttl);
    message += U16(record.bytes.size()) + record.bytes;
  }
  return message;
}

DnsServer::DnsServer() : wake_(eventfd(0, EFD_CLOEXEC)) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    // A thread for each connection: a stray one, of whoever had this port before, holds nobody up.
    tcp_ = std::make_unique<TcpServer>([this](TcpSocket& socket) { ServeTcp(socket); });
    address_ = tcp_->address();
    udp_.Reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    // Its number may be taken for UDP.
    if (bind(udp_.get(), address_.data(), address_.size()) != 0) continue;
    thread_ = std::thread([this] { Run(); });
    return;
  }
  std::abort();
}

DnsServer::~DnsServer() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  eventfd_write(wake_.get(), 1);
  thread_.join();
  tcp_->Stop();
}

void DnsServer::Set(const std::string& name, uint16_t type, Reply reply) {
  const std::lock_guard lock(mutex_);
  replies_[{name, type}] = std::move(reply);
}

void DnsServer::SetA(const std::string& name, const std::vector<std::string>& ips, uint32_t ttl) {
  Reply reply;
  for (const std::string& ip : ips) reply.records.push_back(RecordA(ip, ttl));
  Set(name, kTypeA, std::move(reply));
}

void DnsServer::SetAll(Reply reply) {
  const std::lock_guard lock(mutex_);
  all_ = std::move(reply);
  has_all_ = true;
}

void DnsServer::ClearAll() {
  const std::lock_guard lock(mutex_);
  has_all_ = false;
}

void DnsServer::Hold() {
  const std::lock_guard lock(mutex_);
  is_held_ = true;
}

void DnsServer::Release() {
  {
    const std::lock_guard lock(mutex_);
    is_held_ = false;
  }
  changed_.notify_all();
}

uint64_t DnsServer::asked(const std::string& name, uint16_t type) {
  const std::lock_guard lock(mutex_);
  return asked_[{name, type}];
}

uint64_t DnsServer::asked_over_tcp() {
  const std::lock_guard lock(mutex_);
  return asked_over_tcp_;
}

bool DnsServer::WaitForQuestions(const std::string& name, uint16_t type, uint64_t count) {
  std::unique_lock lock(mutex_);
  uint64_t& asked = asked_[{name, type}];
  const uint64_t wanted = asked + count;
  return changed_.wait_for(lock, std::chrono::seconds(kLimitSeconds),
                           [&] { return asked >= wanted; });
}

DnsServer::Reply DnsServer::ReplyTo(const Key& key) {
  if (has_all_) return all_;
  if (const auto found = replies_.find(key); found != replies_.end()) return found->second;
  const auto of_name = replies_.lower_bound({key.first, 0});
  const bool is_known = of_name != replies_.end() && of_name->first.first == key.first;
  return {.rcode = is_known ? kNoError : kNxdomain};
}

// Empty when there is nothing to say.
std::string DnsServer::Answer(std::string_view query, bool is_tcp) {
  const auto question = ReadQuestion(query);
  if (!question) return "";
  std::unique_lock lock(mutex_);
  ++asked_[{question->name, question->type}];
  if (is_tcp) ++asked_over_tcp_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !is_held_ || is_stopping_; });
  const Reply reply = ReplyTo({question->name, question->type});
  if (reply.is_silent) return "";
  std::string message = DnsMessage(query, reply.rcode, reply.records);
  if (is_tcp || message.size() <= kUdpBytes) return message;
  message = DnsMessage(query, reply.rcode, {});
  message[2] = static_cast<char>(message[2] | 0x02);  // truncated
  return message;
}

void DnsServer::ServeTcp(TcpSocket& socket) {
  const std::string size = socket.Receive(2);
  if (size.size() < 2) return;
  const std::string query = socket.Receive(static_cast<size_t>(
      static_cast<unsigned char>(size[0]) << 8 | static_cast<unsigned char>(size[1])));
  const std::string answer = Answer(query, /*is_tcp=*/true);
  if (answer.empty()) return;
  socket.Send(U16(answer.size()) + answer);
  socket.WaitForEnd();
}

void DnsServer::Run() {
  for (;;) {
    pollfd watched[] = {{udp_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    poll(watched, 2, -1);
    if (watched[1].revents != 0) return;
    char query[kUdpBytes];
    sockaddr_in6 name{};
    socklen_t size = sizeof(name);
    const ssize_t n =
        recvfrom(udp_.get(), query, sizeof(query), 0, reinterpret_cast<sockaddr*>(&name), &size);
    if (n <= 0) continue;
    const std::string answer = Answer({query, static_cast<size_t>(n)}, /*is_tcp=*/false);
    if (answer.empty()) continue;
    sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&name), size);
  }
}

}  // namespace sidelb::testing
