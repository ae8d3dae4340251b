#include "server/telemetry/audit_log.h"

#include <utility>

#include "gguf/base/digest.h"

namespace quern {

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const Options& options) {
  RequestLogOptions log_options;
  log_options.format = LogFormat::kJson;
  log_options.file = options.file;
  log_options.max_bytes = options.max_bytes;
  log_options.n_kept = options.n_kept;
  log_options.max_value_bytes = 0;
  Result<std::unique_ptr<RequestLog>> log = RequestLog::Open(log_options);
  if (!log) return Propagate(log);
  return std::unique_ptr<AuditLog>(new AuditLog(*std::move(log), options.with_content));
}

void AuditLog::Record(const RequestRecord& record) {
  nlohmann::ordered_json fields = RequestFields(record);
  if (record.prompt) {
    fields["prompt_sha256"] = Hex(Sha256(*record.prompt));
    if (with_content_) fields["prompt"] = *record.prompt;
  }
  log_->Write(LogLevel::kInfo, "request", fields);
}

}  // namespace quern
