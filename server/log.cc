#include "server/log.h"

#include <cstdlib>
#include <utility>

#include "absl/time/time.h"
#include "fmt/format.h"
#include "server/log_queue.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace sidelb::server {
namespace {

constexpr size_t kQueueLines = 8'192;
// Never deleted: a late line of a thread that is not ours to join (gRPC has some) is dropped by the
// stopped queue instead of ending in one that is gone.
std::shared_ptr<LogQueue>& Queue() {
  static auto* const queue = new std::shared_ptr<LogQueue>;
  return *queue;
}

constexpr char kTextPattern[] = "%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v";
constexpr char kAuditPattern[] = "%Y-%m-%d %H:%M:%S.%e %^%-7l%$ audit %v";
constexpr std::string_view kAudit = "audit";

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& into) override {
    const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                                              absl::FromChrono(message.time), absl::UTCTimeZone());
    const auto level = spdlog::level::to_string_view(message.level);
    const std::string_view text(message.payload.data(), message.payload.size());
    if (std::string_view(message.logger_name.data(), message.logger_name.size()) == kAudit) {
      fmt::format_to(std::back_inserter(into), "{{\"time\":\"{}\",\"level\":\"{}\",\"{}\":{}}}\n",
                     time, std::string_view(level.data(), level.size()), kAudit, text);
      return;
    }
    fmt::format_to(std::back_inserter(into),
                   "{{\"time\":\"{}\",\"level\":\"{}\",\"message\":\"{}\"}}\n", time,
                   std::string_view(level.data(), level.size()), JsonEscape(text));
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

std::unique_ptr<spdlog::formatter> MakeJsonFormatter() { return std::make_unique<JsonFormatter>(); }

void StartLog(LogLevel level, LogFormat format) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool is_plain = format == LogFormat::kJson || (no_color != nullptr && no_color[0] != '\0');
  Queue() = std::make_shared<LogQueue>(kQueueLines);
  const auto make_logger = [&](std::string name, const char* pattern) {
    // A sink has one format; those of stderr share a lock.
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
        is_plain ? spdlog::color_mode::never : spdlog::color_mode::automatic);
    auto logger = std::make_shared<spdlog::logger>(std::move(name),
                                                   LogQueue::MakeSink(Queue(), std::move(sink)));
    if (format == LogFormat::kJson) {
      logger->set_formatter(MakeJsonFormatter());
    } else {
      logger->set_pattern(pattern);
    }
    logger->set_level(ToSpdlog(level));
    return logger;
  };
  spdlog::set_default_logger(make_logger("sidelb", kTextPattern));
  spdlog::register_logger(make_logger(std::string(kAudit), kAuditPattern));
}

void StopLog() { Queue()->Stop(); }

}  // namespace sidelb::server
