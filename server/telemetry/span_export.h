// How spans get from OpenTelemetry's SDK to a collector.
#pragma once

#include <opentelemetry/sdk/trace/tracer_provider.h>
#include <opentelemetry/trace/tracer.h>

#include <memory>
#include <string>

#include "server/telemetry/request_log.h"

namespace quern {

class BoundedExporter;
class ExportProblems;

/// Sends batches by OTLP over HTTP. Its queue is bounded, and what finds it full is lost.
class SpanExport {
 public:
  /// `log` may be null.
  SpanExport(const std::string& url, const std::string& version, RequestLog* log);
  /// Sends what is queued; gives up after about a second.
  ~SpanExport();
  SpanExport(const SpanExport&) = delete;
  SpanExport& operator=(const SpanExport&) = delete;

  opentelemetry::trace::Tracer& tracer() { return *tracer_; }

 private:
  ExportProblems* problems_;   ///< the SDK owns it
  BoundedExporter* exporter_;  ///< the provider owns it
  std::unique_ptr<opentelemetry::sdk::trace::TracerProvider> provider_;
  opentelemetry::nostd::shared_ptr<opentelemetry::trace::Tracer> tracer_;
};

}  // namespace quern
