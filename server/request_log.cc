#include "server/request_log.h"

#include <fcntl.h>
#include <spdlog/async_logger.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <utility>

#include "server/log_sink.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";
/// Longer values are cut: a path alone may have many thousand bytes.
constexpr size_t kMaxValueBytes = 1024;

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

/// Can it stand in a text line without quotes?
bool IsPlain(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\';
  });
}

std::string TextValue(const Json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (IsPlain(text)) return text;
  }
  return Dump(value);
}

Json Cut(const Json& value) {
  if (!value.is_string()) return value;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() <= kMaxValueBytes ? value : Json(text.substr(0, kMaxValueBytes) + "...");
}

/// What stands for %v in a format's pattern.
std::string Payload(LogFormat format, std::string_view message, const Json& fields) {
  if (format == LogFormat::kJson) {
    Json line = {{"message", message}};
    for (const auto& [key, value] : fields.items()) line[key] = Cut(value);
    const std::string object = Dump(line);
    return object.substr(1, object.size() - 2);
  }
  const std::string quoted = Dump(message);
  std::string line = quoted.substr(1, quoted.size() - 2);
  for (const auto& [key, value] : fields.items()) line += ' ' + key + '=' + TextValue(Cut(value));
  return line;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::off;
}

double Milliseconds(double seconds) { return std::round(seconds * 1e4) / 10; }

double PerSecond(size_t n, double seconds) {
  return seconds > 0 ? std::round(static_cast<double>(n) / seconds * 10) / 10 : 0;
}

/// A pipe whose reader is gone fails the write, and must not end the process.
void BlockSigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

struct RequestLog::Writer {
  Writer(int descriptor, const RequestLogOptions& options)
      : fd(descriptor),
        pool(std::make_shared<spdlog::details::thread_pool>(options.queue_lines, 1, BlockSigpipe)),
        sink(std::make_shared<LogSink>(fd, pool.get(),
                                       [format = options.format](uint64_t n) {
                                         return Payload(format, "log lines lost", {{"count", n}});
                                       })),
        logger(std::make_shared<spdlog::async_logger>(
            "", sink, pool, spdlog::async_overflow_policy::overrun_oldest)) {
    const bool is_json = options.format == LogFormat::kJson;
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        is_json ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc));
    logger->set_level(SpdlogLevel(options.level));
  }
  ~Writer() {
    sink->Close();
    pool.reset();  // joins its thread, which first empties the queue
    if (fd != STDERR_FILENO) close(fd);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  int fd;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<LogSink> sink;
  std::shared_ptr<spdlog::async_logger> logger;
};

RequestLog::RequestLog(LogFormat format, std::unique_ptr<Writer> writer)
    : format_(format), writer_(std::move(writer)) {}

RequestLog::~RequestLog() = default;

Result<std::unique_ptr<RequestLog>> RequestLog::Open(const RequestLogOptions& options) {
  int fd = STDERR_FILENO;
  if (!options.file.empty()) {
    // Without O_NONBLOCK the opening of a FIFO would wait for a reader.
    fd = open(options.file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0) {
      return Fail(ErrorCode::kIo, "cannot open the log file {}: {}", options.file,
                  std::strerror(errno));
    }
  }
  return std::unique_ptr<RequestLog>(
      new RequestLog(options.format, std::make_unique<Writer>(fd, options)));
}

void RequestLog::Record(const RequestRecord& record) {
  Json fields = {{"id", record.id}, {"remote", record.remote}};
  if (!record.key.empty()) fields["key"] = record.key;
  fields["method"] = record.method;
  fields["path"] = record.path;
  fields["status"] = record.status;
  fields["outcome"] = OutcomeName(record.outcome);
  fields["ms"] = Milliseconds(record.seconds);
  if (record.prompt_tokens > 0) {
    fields["prompt_tokens"] = record.prompt_tokens;
    fields["cached_tokens"] = record.cached_tokens;
    fields["generated_tokens"] = record.generated_tokens;
    fields["queue_ms"] = Milliseconds(record.queue_seconds);
    fields["first_token_ms"] = Milliseconds(record.first_token_seconds);
    fields["prompt_tok_s"] =
        PerSecond(record.prompt_tokens - record.cached_tokens, record.prefill_seconds);
    fields["generated_tok_s"] = PerSecond(record.generated_tokens, record.decode_seconds);
  }
  const bool failed = record.outcome == RequestOutcome::kFailed;
  Write(failed ? LogLevel::kError : LogLevel::kInfo, "request", fields);
}

void RequestLog::Write(LogLevel level, std::string_view message,
                       const nlohmann::ordered_json& fields) {
  const spdlog::level::level_enum spdlog_level = SpdlogLevel(level);
  if (!writer_->logger->should_log(spdlog_level)) return;
  const std::string payload = Payload(format_, message, fields);
  writer_->logger->log(spdlog_level, spdlog::string_view_t(payload));
}

uint64_t RequestLog::n_lost() const { return writer_->sink->n_lost(); }

}  // namespace quern
