#include "server/telemetry/tracer.h"

#include <opentelemetry/context/context.h>
#include <opentelemetry/context/propagation/text_map_propagator.h>
#include <opentelemetry/trace/context.h>
#include <opentelemetry/trace/propagation/http_trace_context.h>
#include <opentelemetry/trace/span.h>
#include <opentelemetry/trace/span_startoptions.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "gguf/base/printable.h"
#include "server/telemetry/otlp_endpoint.h"
#include "server/telemetry/span_export.h"

namespace quern {
namespace {

namespace nostd = opentelemetry::nostd;
namespace otel = opentelemetry::trace;
using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// Longer paths are cut.
constexpr size_t kMaxPathBytes = 1024;

/// The two headers of W3C Trace Context, for the SDK.
class TraceHeaders : public opentelemetry::context::propagation::TextMapCarrier {
 public:
  explicit TraceHeaders(const IncomingRequest& request) : request_(request) {}
  nostd::string_view Get(nostd::string_view key) const noexcept override {
    return key == "traceparent" ? request_.traceparent : request_.tracestate;
  }
  void Set(nostd::string_view /*key*/, nostd::string_view /*value*/) noexcept override {}

 private:
  const IncomingRequest& request_;
};

/// The span that a request names as its parent; an invalid one where it does not.
otel::SpanContext ParentOf(const IncomingRequest& request) {
  // The SDK would take capital letters too.
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (std::any_of(request.traceparent.begin(), request.traceparent.end(), is_capital)) {
    return otel::SpanContext::GetInvalid();
  }
  opentelemetry::context::Context root;
  const TraceHeaders headers(request);
  return otel::GetSpan(otel::propagation::HttpTraceContext().Extract(headers, root))->GetContext();
}

bool IsMonitoring(const IncomingRequest& request) {
  return request.path == "/health" || request.path == "/v1/health" || request.path == "/metrics" ||
         request.path == "/slots";
}

/// So that a client cannot make up names of spans.
bool IsKnownMethod(const std::string& method) {
  return method == "GET" || method == "POST" || method == "HEAD" || method == "OPTIONS" ||
         method == "PUT" || method == "DELETE" || method == "PATCH" || method == "TRACE" ||
         method == "CONNECT";
}

const char* OperationOf(const std::string& path) {
  if (path.ends_with("/chat/completions")) return "chat";
  return path.ends_with("/embeddings") ? "embeddings" : "text_completion";
}

template <size_t kBytes, typename Id>
std::string Hex(const Id& id) {
  char digits[2 * kBytes];
  id.ToLowerBase16(nostd::span<char, 2 * kBytes>(digits));
  return {digits, sizeof digits};
}

nanoseconds Nanoseconds(double seconds) { return nanoseconds(static_cast<int64_t>(seconds * 1e9)); }

class OtelRequestSpan : public RequestSpan {
 public:
  OtelRequestSpan(otel::Tracer* tracer, const IncomingRequest& request,
                  const otel::SpanContext& parent)
      : tracer_(tracer), span_(Start(NameOf(request), otel::SpanKind::kServer, parent, {})) {
    const std::string path = Printable(request.path, kMaxPathBytes);
    if (IsKnownMethod(request.method)) {
      span_->SetAttribute("http.request.method", request.method);
    } else {
      span_->SetAttribute("http.request.method", "_OTHER");
      span_->SetAttribute("http.request.method_original", Printable(request.method));
    }
    span_->SetAttribute("url.path", path);
    span_->SetAttribute("url.scheme", request.is_tls ? "https" : "http");
    if (request.is_known_path) span_->SetAttribute("http.route", path);
    span_->SetAttribute("client.address", request.remote);
  }

  std::string trace_id() const override {
    return Hex<otel::TraceId::kSize>(span_->GetContext().trace_id());
  }

  std::string traceparent() const override {
    const otel::SpanContext context = span_->GetContext();
    return "00-" + trace_id() + '-' + Hex<otel::SpanId::kSize>(context.span_id()) + '-' +
           Hex<1>(context.trace_flags());
  }

  void End(const RequestRecord& record) override {
    const nanoseconds end = Clock::now() - start_;
    if (span_->IsRecording()) {
      Describe(record);
      if (record.prefill_seconds > 0) AddPhases(record, end);
    }
    EndAt(*span_, end);
  }

 private:
  static std::string NameOf(const IncomingRequest& request) {
    const std::string method = IsKnownMethod(request.method) ? request.method : "HTTP";
    return request.is_known_path ? method + ' ' + request.path : method;
  }

  /// `at`: since the start of the request.
  nostd::shared_ptr<otel::Span> Start(const std::string& name, otel::SpanKind kind,
                                      const otel::SpanContext& parent, nanoseconds at) const {
    otel::StartSpanOptions options;
    options.kind = kind;
    options.parent = parent;
    options.start_steady_time = opentelemetry::common::SteadyTimestamp(start_ + at);
    options.start_system_time = opentelemetry::common::SystemTimestamp(start_system_ + at);
    return tracer_->StartSpan(name, options);
  }

  void EndAt(otel::Span& span, nanoseconds at) const {
    otel::EndSpanOptions options;
    options.end_steady_time = opentelemetry::common::SteadyTimestamp(start_ + at);
    span.End(options);
  }

  void Describe(const RequestRecord& record) {
    span_->SetAttribute("quern.request_id", record.id);
    span_->SetAttribute("quern.outcome", OutcomeName(record.outcome));
    if (record.status != 0) span_->SetAttribute("http.response.status_code", record.status);
    if (record.outcome == RequestOutcome::kFailed || record.status >= 500) {
      span_->SetStatus(otel::StatusCode::kError);
      span_->SetAttribute("error.type", record.status >= 500 ? std::to_string(record.status)
                                                             : OutcomeName(record.outcome));
    }
    if (record.submit_seconds == 0) return;  // it was not queued
    span_->SetAttribute("gen_ai.operation.name", OperationOf(record.path));
    span_->SetAttribute("gen_ai.request.model", Printable(record.model));
    span_->SetAttribute("gen_ai.usage.input_tokens", Count(record.prompt_tokens));
    span_->SetAttribute("gen_ai.usage.output_tokens", Count(record.generated_tokens));
  }

  /// Queue, prefill and decode, one after the other. Of a request with several answers each is the
  /// longest that one of them took; they do not go beyond `end`.
  void AddPhases(const RequestRecord& record, nanoseconds end) {
    const nanoseconds submitted = std::min(Nanoseconds(record.submit_seconds), end);
    const nanoseconds begun = std::min(submitted + Nanoseconds(record.queue_seconds), end);
    const nanoseconds read = std::min(begun + Nanoseconds(record.prefill_seconds), end);
    const nanoseconds done = std::min(read + Nanoseconds(record.decode_seconds), end);
    AddPhase("queue", submitted, begun, {});
    // Not gen_ai.usage, which some add up over all spans of a trace.
    AddPhase("prefill", begun, read,
             {{"quern.prompt_tokens", record.prompt_tokens},
              {"quern.cached_tokens", record.cached_tokens}});
    if (record.generated_tokens == 0) return;
    AddPhase("decode", read, done, {{"quern.generated_tokens", record.generated_tokens}});
  }

  void AddPhase(const char* name, nanoseconds start, nanoseconds end,
                std::initializer_list<std::pair<const char*, size_t>> counts) {
    const auto phase = Start(name, otel::SpanKind::kInternal, span_->GetContext(), start);
    for (const auto& [key, n] : counts) phase->SetAttribute(key, Count(n));
    EndAt(*phase, end);
  }

  /// Attributes have no unsigned numbers.
  static int64_t Count(size_t n) { return static_cast<int64_t>(n); }

  otel::Tracer* tracer_;
  const Clock::time_point start_ = Clock::now();
  const std::chrono::system_clock::time_point start_system_ = std::chrono::system_clock::now();
  nostd::shared_ptr<otel::Span> span_;
};

class OtelTracer : public Tracer {
 public:
  OtelTracer(const std::string& url, const std::string& version, RequestLog* log)
      : exporting_(url, version, log) {}

  std::unique_ptr<RequestSpan> Begin(const IncomingRequest& request) override {
    const otel::SpanContext parent = ParentOf(request);
    if (IsMonitoring(request) && !parent.IsSampled()) return nullptr;
    return std::make_unique<OtelRequestSpan>(&exporting_.tracer(), request, parent);
  }

 private:
  SpanExport exporting_;
};

}  // namespace

Result<std::unique_ptr<Tracer>> Tracer::Create(const TracerOptions& options, RequestLog* log) {
  Result<std::string> url = TracesUrl(options.endpoint);
  if (!url) return Propagate(url);
  if (url->empty()) return nullptr;
  return std::make_unique<OtelTracer>(*url, options.version, log);
}

}  // namespace quern
