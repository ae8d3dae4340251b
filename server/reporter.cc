#include "server/reporter.h"

#include <utility>
#include <vector>

#include "server/telemetry/request_id.h"

namespace quern {
namespace {

/// A disk may be full for long: the log gets a line of lost audit lines at most so often.
constexpr std::chrono::minutes kTellOfLossEvery{1};

std::string Joined(const std::vector<std::string>& values) {
  std::string joined;
  for (const std::string& value : values) joined += (joined.empty() ? "" : ",") + value;
  return joined;
}

IncomingRequest Incoming(const HttpRequest& request, Reporter::Endpoint endpoint) {
  // One that is there twice is no valid one; those of a list may come in several lines.
  const bool is_one = request.headers.Count(kTraceparentHeader) == 1;
  return {.method = request.method,
          .path = request.path,
          .remote = request.remote,
          .is_known_path = endpoint.is_known,
          .is_tls = endpoint.is_tls,
          .traceparent = is_one ? request.headers.Get(kTraceparentHeader) : "",
          .tracestate = Joined(request.headers.All("tracestate"))};
}

}  // namespace

std::shared_ptr<Exchange> Reporter::Begin(const HttpRequest& request, Endpoint endpoint) {
  auto exchange =
      std::make_shared<Exchange>([this](const RequestRecord& record) { Report(record); });
  RequestRecord& record = exchange->record;
  record.id = request.headers.Get(kRequestIdHeader);
  if (!IsRequestId(record.id)) record.id = NewRequestId();
  record.remote = request.remote;
  record.method = request.method;
  record.path = request.path;
  if (tracer_ != nullptr) exchange->span = tracer_->Begin(Incoming(request, endpoint));
  if (exchange->span != nullptr) record.trace_id = exchange->span->trace_id();
  return exchange;
}

void Reporter::ReportRefused(const std::string& remote, const HttpError& error) {
  RequestRecord record;
  record.id = NewRequestId();
  record.remote = remote;
  record.status = error.status;
  record.outcome = OutcomeOf(error.status);
  Report(record);
}

void Reporter::ReportFallback(const RequestRecord& record, const std::string& to) {
  if (log_ == nullptr) return;
  log_->Write(LogLevel::kWarning, "fallback",
              {{"id", record.id}, {"from", record.model}, {"to", to}});
}

void Reporter::Report(const RequestRecord& record) {
  metrics_->Record(record);
  if (log_ != nullptr) log_->Record(record);
  if (audit_ == nullptr) return;
  audit_->Record(record);
  TellOfLoss();
}

void Reporter::TellOfLoss() {
  const uint64_t n_lost = audit_->n_lost();
  if (n_lost == 0 || log_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (n_lost <= n_loss_told_ || now < silent_until_) return;
  const uint64_t n_new = n_lost - std::exchange(n_loss_told_, n_lost);
  silent_until_ = now + kTellOfLossEvery;
  log_->Write(LogLevel::kWarning, "audit lines lost", {{"count", n_new}});
}

}  // namespace quern
