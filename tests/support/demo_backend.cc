// sidelb-demo-backend: a small HTTP server that names itself in each answer, so that a person or a
// test sees which backend a connection reached.
//
//   GET /healthz   "ok"
//   GET anything   "NAME answers PEER", where PEER is the address that the request came from
//
// Threads: one. Every object lives on its io_context; a connection owns itself through the handler
// that is pending. Connections are kept alive between requests and closed after a minute of
// silence.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/base/address.h"
#include "dataplane/base/status.h"

namespace sidelb {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kIdleTimeout = std::chrono::seconds(60);
constexpr auto kAcceptBackoff = std::chrono::milliseconds(100);
constexpr uint64_t kMaxBodyBytes = 64 * 1024;
constexpr int kListenBacklog = 1024;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const std::string& name)
      : stream_(std::move(socket)), name_(name) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    const tcp::endpoint peer = stream_.socket().remote_endpoint(ignored);
    peer_ = Address::FromSockaddr(peer.data(), static_cast<socklen_t>(peer.size())).ToString();
  }

  void Read() {
    parser_.emplace();
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kIdleTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (!error) {
                         self->Answer();
                       } else if (error == http::error::end_of_stream) {
                         self->Close();
                       }  // else the peer is gone or sent no HTTP: the destructor closes
                     });
  }

 private:
  void Answer() {
    const auto& request = parser_->get();
    const bool is_head = request.method() == http::verb::head;
    const bool is_allowed = is_head || request.method() == http::verb::get;
    std::string text = !is_allowed ? name_ + ": only GET and HEAD are answered\n"
                       : request.target() == "/healthz" ? "ok\n"
                                                        : name_ + " answers " + peer_ + "\n";

    answer_ = {is_allowed ? http::status::ok : http::status::method_not_allowed, request.version()};
    answer_.set(http::field::server, name_);
    answer_.set(http::field::content_type, "text/plain; charset=utf-8");
    if (!is_allowed) answer_.set(http::field::allow, "GET, HEAD");
    answer_.keep_alive(request.keep_alive());
    answer_.content_length(text.size());
    if (!is_head) answer_.body() = std::move(text);

    http::async_write(stream_, answer_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return;
      if (self->answer_.keep_alive()) {
        self->Read();
      } else {
        self->Close();
      }
    });
  }

  void Close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  const std::string& name_;  // of main, which outlives the io_context
  std::string peer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;  // one for each request
  http::response<http::string_body> answer_;
};

// Accepts until the io_context stops. When descriptors run out it waits a moment and goes on.
class Acceptor {
 public:
  Acceptor(asio::io_context& io, const std::string& name)
      : acceptor_(io), backoff_(io), name_(name) {}

  error_code Listen(const Address& address) {
    const tcp::endpoint endpoint(asio::ip::make_address(address.Host()), address.port());
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kListenBacklog, error);
    return error;
  }

  std::string LocalAddress() const {
    const tcp::endpoint local = acceptor_.local_endpoint();
    return Address::FromSockaddr(local.data(), static_cast<socklen_t>(local.size())).ToString();
  }

  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (!error) {
        std::make_shared<Connection>(std::move(socket), name_)->Read();
        Accept();
        return;
      }
      backoff_.expires_after(kAcceptBackoff);
      backoff_.async_wait([this](error_code stopped) {
        if (!stopped) Accept();
      });
    });
  }

 private:
  tcp::acceptor acceptor_;
  asio::steady_timer backoff_;
  const std::string& name_;
};

std::string CheckAddress(const std::string& text) {
  const auto address = Address::Parse(text);
  return address.ok() ? std::string() : std::string(address.status().message());
}

std::string CheckName(const std::string& text) {
  const bool is_printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  return is_printable && !text.empty()
             ? std::string()
             : "name \"" + text + "\": one word of printable ASCII is allowed";
}

int Main(int argc, char** argv) {
  std::string listen = "127.0.0.1:9001";
  std::string name = "demo-1";
  CLI::App app(
      "A small HTTP server that names itself in each answer.\n"
      "When it is ready it prints one line that ends with its address.",
      "sidelb-demo-backend");
  app.add_option("--listen", listen, "ip:port; port 0 lets the kernel choose")
      ->capture_default_str()
      ->check(CheckAddress);
  app.add_option("--name", name, "how it calls itself")->capture_default_str()->check(CheckName);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  asio::io_context io(1);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](error_code, int) { io.stop(); });

  Acceptor acceptor(io, name);
  if (const error_code error = acceptor.Listen(*Address::Parse(listen))) {
    const auto status = ErrnoToStatus(error.value(), "cannot listen on " + listen);
    std::fprintf(stderr, "sidelb-demo-backend: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("%s listens on %s\n", name.c_str(), acceptor.LocalAddress().c_str());
  std::fflush(stdout);

  acceptor.Accept();
  io.run();
  return 0;
}

}  // namespace
}  // namespace sidelb

int main(int argc, char** argv) { return sidelb::Main(argc, argv); }
