// Whether a request may go on: where its page is from, whose key it has, and what that may use.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gguf/base/result.h"
#include "server/access/access_control.h"
#include "server/access/authentication.h"
#include "server/access/cors.h"
#include "server/access/quotas.h"
#include "server/access/usage_file.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"

namespace quern {

/// Thread-safe after RestoreUsage and KeepUsage. The keys are an argument: they may change while it
/// lives.
class Admission {
 public:
  /// `rate`: of callers whose limits say nothing of it.
  Admission(Cors cors, std::chrono::seconds signature_window, std::optional<RequestRate> rate)
      : cors_(std::move(cors)), authentication_(signature_window), quotas_(rate) {}

  /// Goes on from what an earlier process has counted.
  void RestoreUsage(const std::vector<DayTokens>& counted) { quotas_.Restore(counted); }
  /// Keeps the tokens of the day in the file from now on. `log` may be null; else it outlives this.
  /// Errors: those of UsageFile::Open.
  Status KeepUsage(const std::string& path, RequestLog* log);

  struct HeadDecision {
    HttpHeaders headers;  ///< of the reply, refused or not
    std::optional<HttpError> refusal;
    bool is_preflight = false;  ///< to be replied to at once, with the headers
  };
  /// What the head of a request decides, before its body is read.
  HeadDecision CheckHead(const AccessControl& access, const HttpRequest& request) const;

  struct Decision {
    std::string key;      ///< its name; empty: none was asked for
    HttpHeaders headers;  ///< of the reply, refused or not
    std::optional<HttpError> refusal;
    std::unique_ptr<Quotas::Ticket> ticket;  ///< of a request that counts; this outlives it
  };
  /// Finds out whose a whole request is, and counts it on its caller. Questions of monitors, which
  /// are GETs, are free.
  Decision Check(const AccessControl& access, const HttpRequest& request);

 private:
  Cors cors_;
  Authentication authentication_;
  Quotas quotas_;
  std::unique_ptr<UsageFile> usage_file_;
};

}  // namespace quern
