#include "server/telemetry/span_export.h"

#include <opentelemetry/exporters/otlp/otlp_http_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_http_exporter_options.h>
#include <opentelemetry/sdk/common/global_log_handler.h>
#include <opentelemetry/sdk/resource/resource.h>
#include <opentelemetry/sdk/resource/resource_detector.h>
#include <opentelemetry/sdk/trace/batch_span_processor_factory.h>
#include <opentelemetry/sdk/trace/batch_span_processor_options.h>
#include <opentelemetry/sdk/trace/exporter.h>
#include <opentelemetry/sdk/trace/processor.h>
#include <opentelemetry/sdk/trace/samplers/always_on_factory.h>
#include <opentelemetry/sdk/trace/samplers/parent_factory.h>
#include <opentelemetry/sdk/trace/tracer_provider_factory.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>

namespace quern {
namespace {

namespace otlp = opentelemetry::exporter::otlp;
namespace internal_log = opentelemetry::sdk::common::internal_log;
namespace resource = opentelemetry::sdk::resource;
namespace trace = opentelemetry::sdk::trace;
using Clock = std::chrono::steady_clock;
using opentelemetry::sdk::common::ExportResult;

/// Between two lines of log about a collector that does not take spans.
constexpr std::chrono::minutes kTellEvery{1};
/// How long the end of the program waits for a collector.
constexpr std::chrono::seconds kLastSends{1};
/// How often what has gathered is sent.
constexpr std::chrono::seconds kSendEvery{1};

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

/// The SDK's own messages, for the log, where each minute has one at most.
class ExportProblems : public internal_log::LogHandler {
 public:
  explicit ExportProblems(RequestLog* log) : log_(log) {}

  void Handle(internal_log::LogLevel level, const char* /*file*/, int /*line*/, const char* message,
              const opentelemetry::sdk::common::AttributeMap& /*attributes*/) noexcept override {
    const std::lock_guard lock(mutex_);
    if (level == internal_log::LogLevel::Error) ++n_errors_;
    Add(message);
  }

  uint64_t n_errors() const {
    const std::lock_guard lock(mutex_);
    return n_errors_;
  }

  /// Spans that an export lost, which Handle was told of.
  void CountLost(size_t n_spans) {
    const std::lock_guard lock(mutex_);
    n_lost_ += n_spans;
  }

  void CountUnsent(size_t n_spans) {
    const std::lock_guard lock(mutex_);
    n_lost_ += n_spans;
    Add("the server ended before all spans were sent");
  }

  /// Puts what has not been told yet into the log. The first of several messages names the cause.
  void Tell() {
    const std::lock_guard lock(mutex_);
    if (n_untold_ == 0) return;
    told_at_ = Clock::now();
    if (log_ != nullptr) {
      log_->Write(LogLevel::kWarning, "tracing",
                  {{"problem", first_untold_}, {"problems", n_untold_}, {"spans_lost", n_lost_}});
    }
    n_untold_ = 0;
    n_lost_ = 0;
  }

  bool is_due() const {
    const std::lock_guard lock(mutex_);
    return !told_at_ || Clock::now() >= *told_at_ + kTellEvery;
  }

 private:
  void Add(const char* problem) {
    if (n_untold_++ == 0) first_untold_ = problem;
  }

  RequestLog* log_;
  mutable std::mutex mutex_;
  std::optional<Clock::time_point> told_at_;
  std::string first_untold_;
  uint64_t n_untold_ = 0;
  uint64_t n_errors_ = 0;
  uint64_t n_lost_ = 0;  ///< since the last line
};

/// The SDK's exporter, which at the end sends only as long as it is let.
class BoundedExporter : public trace::SpanExporter {
 public:
  BoundedExporter(std::unique_ptr<trace::SpanExporter> exporter, ExportProblems* problems)
      : exporter_(std::move(exporter)), problems_(problems) {}

  /// From now on a failure is the last try, and in a second so is success.
  void Close() {
    close_at_ = Clock::now() + kLastSends;
    closing_ = true;
  }

  std::unique_ptr<trace::Recordable> MakeRecordable() noexcept override {
    return exporter_->MakeRecordable();
  }

  ExportResult Export(const opentelemetry::nostd::span<std::unique_ptr<trace::Recordable>>&
                          spans) noexcept override {
    if (closing_ && (gave_up_ || Clock::now() > close_at_)) {
      problems_->CountUnsent(spans.size());
      return ExportResult::kFailure;
    }
    // The SDK's exporter gives kSuccess in any case, and logs an error.
    const uint64_t n_errors = problems_->n_errors();
    exporter_->Export(spans);
    const bool failed = problems_->n_errors() > n_errors;
    if (failed) problems_->CountLost(spans.size());
    gave_up_ = closing_ && failed;
    if (problems_->is_due()) problems_->Tell();
    return failed ? ExportResult::kFailure : ExportResult::kSuccess;
  }

  bool ForceFlush(std::chrono::microseconds timeout) noexcept override {
    return exporter_->ForceFlush(timeout);
  }
  bool Shutdown(std::chrono::microseconds timeout) noexcept override {
    return exporter_->Shutdown(timeout);
  }

 private:
  std::unique_ptr<trace::SpanExporter> exporter_;
  ExportProblems* problems_;
  Clock::time_point close_at_;  ///< set before closing_
  std::atomic<bool> closing_{false};
  bool gave_up_ = false;  ///< of the exporting thread
};

namespace {

void SetLogHandler(std::unique_ptr<internal_log::LogHandler> handler) {
  internal_log::GlobalLogHandler::SetLogHandler(
      opentelemetry::nostd::shared_ptr<internal_log::LogHandler>(std::move(handler)));
}

std::unique_ptr<trace::SpanExporter> NewExporter(const std::string& url) {
  otlp::OtlpHttpExporterOptions options;  // headers, certificates and more from the environment
  options.url = url;
  options.content_type = otlp::HttpRequestContentType::kBinary;
  // Nothing ends an export sooner, so that the end of the program waits for it too.
  if (!IsSet("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") && !IsSet("OTEL_EXPORTER_OTLP_TIMEOUT")) {
    options.timeout = kLastSends;
  }
  return otlp::OtlpHttpExporterFactory::Create(options);
}

/// The service, as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES name it.
resource::Resource NewResource(const std::string& version) {
  resource::ResourceAttributes attributes = {{"service.version", version}};
  const resource::Resource environment = resource::OTELResourceDetector().Detect();
  if (environment.GetAttributes().count("service.name") == 0)
    attributes["service.name"] = std::string("quern");
  return resource::Resource::Create(attributes);
}

}  // namespace

SpanExport::SpanExport(const std::string& url, const std::string& version, RequestLog* log) {
  auto problems = std::make_unique<ExportProblems>(log);
  problems_ = problems.get();
  SetLogHandler(std::move(problems));
  internal_log::GlobalLogHandler::SetLogLevel(internal_log::LogLevel::Warning);
  auto exporter = std::make_unique<BoundedExporter>(NewExporter(url), problems_);
  exporter_ = exporter.get();
  trace::BatchSpanProcessorOptions batches;
  batches.schedule_delay_millis = kSendEvery;
  provider_ = trace::TracerProviderFactory::Create(
      trace::BatchSpanProcessorFactory::Create(std::move(exporter), batches), NewResource(version),
      trace::ParentBasedSamplerFactory::Create(trace::AlwaysOnSamplerFactory::Create()));
  tracer_ = provider_->GetTracer("quern", version);
}

SpanExport::~SpanExport() {
  exporter_->Close();
  tracer_ = nullptr;
  provider_.reset();
  problems_->Tell();
  SetLogHandler(std::make_unique<internal_log::NoopLogHandler>());
}

}  // namespace quern
