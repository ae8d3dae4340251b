#include "server/telemetry/request_log.h"

#include <spdlog/async_logger.h>
#include <spdlog/pattern_formatter.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <utility>

#include "server/telemetry/log_file.h"
#include "server/telemetry/log_sink.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

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

Json Cut(const Json& value, size_t max_bytes) {
  if (!value.is_string() || max_bytes == 0) return value;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() <= max_bytes ? value : Json(text.substr(0, max_bytes) + "...");
}

/// What stands for %v in a format's pattern.
std::string Payload(LogFormat format, std::string_view message, const Json& fields,
                    size_t max_value_bytes) {
  if (format == LogFormat::kJson) {
    Json line = {{"message", message}};
    for (const auto& [key, value] : fields.items()) line[key] = Cut(value, max_value_bytes);
    const std::string object = Dump(line);
    return object.substr(1, object.size() - 2);
  }
  const std::string quoted = Dump(message);
  std::string line = quoted.substr(1, quoted.size() - 2);
  for (const auto& [key, value] : fields.items()) {
    line += ' ' + key + '=' + TextValue(Cut(value, max_value_bytes));
  }
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

/// "NAME/ACTION", with commas between.
std::string ScreenedText(const std::vector<ScreenedRule>& rules) {
  std::string text;
  for (const ScreenedRule& rule : rules) {
    if (!text.empty()) text += ',';
    text += rule.name + '/' + ActionName(rule.action);
  }
  return text;
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
  Writer(std::unique_ptr<LogFile> log_file, const RequestLogOptions& options)
      : file(std::move(log_file)),
        pool(std::make_shared<spdlog::details::thread_pool>(options.queue_lines, 1, BlockSigpipe)),
        sink(std::make_shared<LogSink>(
            file.get(), options.max_bytes, options.n_kept, pool.get(),
            [format = options.format](uint64_t n) {
              return Payload(format, "log lines lost", {{"count", n}}, /*max_value_bytes=*/0);
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
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  std::unique_ptr<LogFile> file;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<LogSink> sink;
  std::shared_ptr<spdlog::async_logger> logger;
};

RequestLog::RequestLog(const RequestLogOptions& options, std::unique_ptr<Writer> writer)
    : format_(options.format),
      max_value_bytes_(options.max_value_bytes),
      writer_(std::move(writer)) {}

RequestLog::~RequestLog() = default;

Result<std::unique_ptr<RequestLog>> RequestLog::Open(const RequestLogOptions& options) {
  Result<std::unique_ptr<LogFile>> file = LogFile::Open(options.file);
  if (!file) return Propagate(file);
  return std::unique_ptr<RequestLog>(
      new RequestLog(options, std::make_unique<Writer>(*std::move(file), options)));
}

Json RequestFields(const RequestRecord& record) {
  Json fields = {{"id", record.id}, {"remote", record.remote}};
  if (!record.key.empty()) fields["key"] = record.key;
  if (!record.trace_id.empty()) fields["trace_id"] = record.trace_id;
  fields["method"] = record.method;
  fields["path"] = record.path;
  if (!record.model.empty()) fields["model"] = record.model;
  if (!record.router.empty()) fields["route"] = record.router + "/" + record.rule;
  if (!record.screened.empty()) fields["screened"] = ScreenedText(record.screened);
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
  return fields;
}

void RequestLog::Record(const RequestRecord& record) {
  const bool failed = record.outcome == RequestOutcome::kFailed;
  Write(failed ? LogLevel::kError : LogLevel::kInfo, "request", RequestFields(record));
}

void RequestLog::Write(LogLevel level, std::string_view message,
                       const nlohmann::ordered_json& fields) {
  const spdlog::level::level_enum spdlog_level = SpdlogLevel(level);
  if (!writer_->logger->should_log(spdlog_level)) return;
  const std::string payload = Payload(format_, message, fields, max_value_bytes_);
  writer_->logger->log(spdlog_level, spdlog::string_view_t(payload));
}

Status RequestLog::Reopen() { return writer_->file->Reopen(); }

uint64_t RequestLog::n_lost() const { return writer_->sink->n_lost(); }

}  // namespace quern
