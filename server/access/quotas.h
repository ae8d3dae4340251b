// What each caller may use: requests in a time, requests at once, tokens in a day.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/access/api_key.h"
#include "server/http/http_error.h"

namespace quern {

/// What a caller has spent in a day of UTC.
struct DayTokens {
  std::chrono::sys_days day;
  std::string caller;
  uint64_t tokens = 0;
};

/// Thread-safe.
class Quotas {
 public:
  struct Time {
    std::chrono::steady_clock::time_point steady;
    std::chrono::sys_seconds utc;

    static Time Now();
  };

  /// `rate`: of callers whose limits say nothing of it.
  explicit Quotas(std::optional<RequestRate> rate) : rate_(rate) {}
  Quotas(const Quotas&) = delete;
  Quotas& operator=(const Quotas&) = delete;

  /// A request that is under way. Its end makes room for another.
  class Ticket {
   public:
    Ticket(Quotas* quotas, std::string caller) : quotas_(quotas), caller_(std::move(caller)) {}
    ~Ticket() { quotas_->End(caller_); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    /// Counts tokens of a prompt and its answers.
    void Spend(uint64_t tokens, Time now = Time::Now()) { quotas_->Spend(caller_, tokens, now); }

   private:
    Quotas* quotas_;
    std::string caller_;
  };

  struct Decision {
    std::optional<HttpError> refusal;  ///< 429
    /// OpenAI's: x-ratelimit-{limit,remaining,reset}-{requests,tokens}, for what is limited.
    std::vector<std::pair<std::string, std::string>> headers;
    std::unique_ptr<Ticket> ticket;  ///< where nothing is refused; the quotas outlive it
  };
  /// Takes one request from the caller's rate, which refills steadily, unless another limit refuses
  /// it. A request that is let in is answered to its end, whatever tokens that takes.
  Decision Charge(const std::string& caller, const KeyLimits& limits, Time now = Time::Now());

  /// Of whoever has spent any today, by name: all that a next process needs to know.
  std::vector<DayTokens> TokensOfDay(Time now = Time::Now());
  /// Goes on from what an earlier process counted; other days than today's are passed over. Before
  /// the first Charge.
  void Restore(const std::vector<DayTokens>& counted, Time now = Time::Now());

 private:
  struct Usage {
    std::optional<RequestRate> rate;
    double requests_left = 0;
    std::chrono::steady_clock::time_point counted;
    size_t running = 0;
    std::chrono::sys_days day;
    uint64_t tokens = 0;
  };

  void Spend(const std::string& caller, uint64_t tokens, Time now);
  void End(const std::string& caller);
  /// The caller's usage as of now.
  Usage& Find(const std::string& caller, const std::optional<RequestRate>& rate, Time now);
  void ForgetIdle(Time now);

  const std::optional<RequestRate> rate_;
  std::mutex mutex_;
  std::unordered_map<std::string, Usage> usages_;  ///< under mutex_
  size_t forget_at_ = 1024;                        ///< callers; under mutex_
};

}  // namespace quern
