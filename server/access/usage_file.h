// The tokens that keys have used today, in a file that outlasts the process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/interval_thread.h"
#include "gguf/base/result.h"
#include "server/access/quotas.h"
#include "server/telemetry/request_log.h"

namespace quern {

/// A line for each key, DAY NAME TOKENS with the day as 2026-11-26; none where there is no file.
/// Errors: kIo; kInvalidArgument naming file and line.
Result<std::vector<DayTokens>> ReadUsageFile(const std::string& path);

/// Keeps a file as the quotas count.
class UsageFile {
 public:
  /// Writes the file, and from then on every ten seconds that something has changed. What cannot
  /// be written is tried again, and told to `log` (or nobody) once until it can. `quotas` and `log`
  /// outlive it. Errors: those of WriteText.
  static Result<std::unique_ptr<UsageFile>> Open(std::string path, Quotas* quotas, RequestLog* log);
  /// Writes it once more.
  ~UsageFile();
  UsageFile(const UsageFile&) = delete;
  UsageFile& operator=(const UsageFile&) = delete;

 private:
  UsageFile(std::string path, Quotas* quotas, RequestLog* log);

  Status Save();
  void SaveOrTell();

  const std::string path_;
  Quotas* const quotas_;
  RequestLog* const log_;
  std::string saved_;     ///< as the file has it
  bool is_told_ = false;  ///< the log knows that it cannot be written
  std::optional<IntervalThread> saving_;
};

}  // namespace quern
