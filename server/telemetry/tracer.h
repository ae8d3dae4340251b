// Spans of requests, for an OpenTelemetry collector.
#pragma once

#include <memory>
#include <string>

#include "gguf/base/result.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/request_record.h"

namespace quern {

struct TracerOptions {
  std::string endpoint;  ///< as TracesUrl has it
  std::string version;   ///< of the program
};

/// What a request shows before it is answered.
struct IncomingRequest {
  std::string method;
  std::string path;
  std::string remote;          ///< its address
  bool is_known_path = false;  ///< there is an endpoint of that path
  bool is_tls = false;
  std::string traceparent;  ///< the headers of W3C Trace Context; empty: none
  std::string tracestate;
};

/// The span of one request. One that is not sampled has its ids too, for those who are asked
/// further on, and is not exported.
class RequestSpan {
 public:
  virtual ~RequestSpan() = default;

  /// 32 hexadecimal digits.
  virtual std::string trace_id() const = 0;
  /// The header of W3C Trace Context that names this span.
  virtual std::string traceparent() const = 0;
  /// Ends it, with child spans of the phases that the request went through. Once.
  virtual void End(const RequestRecord& record) = 0;
};

/// Begins a span for each request; they are exported in the background. What a collector does or
/// does not do holds up no request. Thread-safe.
class Tracer {
 public:
  /// Null where no endpoint is named. At most one at a time in a process. `log`, which is told when
  /// spans are lost, may be null; else it outlives the tracer. Errors: those of TracesUrl;
  /// kUnsupported for an endpoint that is asked for in a build without OpenTelemetry.
  static Result<std::unique_ptr<Tracer>> Create(const TracerOptions& options, RequestLog* log);

  /// Hands over what is still to be exported, for about a second.
  virtual ~Tracer() = default;

  /// Belongs to the trace that the request's headers name, where they are valid, and is sampled if
  /// that is; else begins a trace. Null for questions of monitors, unless their trace is sampled.
  virtual std::unique_ptr<RequestSpan> Begin(const IncomingRequest& request) = 0;
};

}  // namespace quern
