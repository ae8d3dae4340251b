// The audit log: who asked for what, and what it took, a line of JSON for each request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gguf/base/result.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/request_record.h"

namespace quern {

/// Lines are written as RequestLog writes them: nothing waits for them, and what a full disk
/// refuses is lost, counted, and told of. Thread-safe.
class AuditLog {
 public:
  struct Options {
    std::string file;
    bool with_content = false;  ///< the prompts themselves beside their SHA-256
    uint64_t max_bytes = 0;     ///< of a file, before it is set aside; 0: no limit
    size_t n_kept = 10;         ///< files that are set aside
  };

  /// Errors: kIo.
  static Result<std::unique_ptr<AuditLog>> Open(const Options& options);

  void Record(const RequestRecord& record);

  Status Reopen() { return log_->Reopen(); }
  uint64_t n_lost() const { return log_->n_lost(); }

 private:
  AuditLog(std::unique_ptr<RequestLog> log, bool with_content)
      : log_(std::move(log)), with_content_(with_content) {}

  std::unique_ptr<RequestLog> log_;
  bool with_content_;
};

}  // namespace quern
