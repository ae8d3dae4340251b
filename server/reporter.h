// Tells how requests went: to the metrics, the log, the audit log and the trace.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "server/exchange.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"
#include "server/telemetry/audit_log.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/request_record.h"
#include "server/telemetry/tracer.h"

namespace quern {

/// Thread-safe.
class Reporter {
 public:
  /// `log`, `audit` and `tracer` may be null; all that are given outlive this.
  Reporter(Metrics* metrics, RequestLog* log, AuditLog* audit, Tracer* tracer)
      : metrics_(metrics), log_(log), audit_(audit), tracer_(tracer) {}
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  struct Endpoint {
    bool is_known = false;  ///< there is an endpoint of the request's path
    bool is_tls = false;
  };
  /// A request that has come. The client's name for it is taken, if it is one. Its end is reported;
  /// this outlives it.
  std::shared_ptr<Exchange> Begin(const HttpRequest& request, Endpoint endpoint);

  /// A request that the limits of connections refused.
  void ReportRefused(const std::string& remote, const HttpError& error);
  /// The request goes on with the model `to`, since its own has failed.
  void ReportFallback(const RequestRecord& record, const std::string& to);

  /// Lines of the audit log so far.
  uint64_t n_audit_lost() const { return audit_ != nullptr ? audit_->n_lost() : 0; }

 private:
  void Report(const RequestRecord& record);
  /// Has the log tell of lines that the audit log has lost, once in a while.
  void TellOfLoss();

  Metrics* metrics_;
  RequestLog* log_;
  AuditLog* audit_;
  Tracer* tracer_;
  std::mutex mutex_;
  uint64_t n_loss_told_ = 0;                            ///< under mutex_
  std::chrono::steady_clock::time_point silent_until_;  ///< under mutex_; of losses
};

}  // namespace quern
