#include "server/access/quotas.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace quern {
namespace {

using std::chrono::days;
using std::chrono::duration;
using std::chrono::floor;
using std::chrono::sys_days;

double RefillPerSecond(const RequestRate& rate) {
  return static_cast<double>(rate.requests) / static_cast<double>(rate.window.count());
}

/// Seconds in OpenAI's notation: "6m0s", "1.5s".
std::string DurationText(double seconds) {
  const double tenths = std::ceil(std::max(seconds, 0.0) * 10) / 10;
  const double minutes = std::floor(tenths / 60);
  const std::string rest = fmt::format("{:g}s", std::round((tenths - 60 * minutes) * 10) / 10);
  return minutes > 0 ? fmt::format("{:.0f}m{}", minutes, rest) : rest;
}

HttpError Refusal(std::string message, double retry_after) {
  return {.status = 429,
          .message = std::move(message),
          .type = "rate_limit_exceeded",
          .retry_after = std::max(1, static_cast<int>(std::ceil(retry_after)))};
}

}  // namespace

Quotas::Time Quotas::Time::Now() {
  return {std::chrono::steady_clock::now(),
          floor<std::chrono::seconds>(std::chrono::system_clock::now())};
}

Quotas::Usage& Quotas::Find(const std::string& caller, const std::optional<RequestRate>& rate,
                            Time now) {
  if (usages_.size() >= forget_at_ && usages_.count(caller) == 0) ForgetIdle(now);
  Usage& usage = usages_[caller];
  if (usage.rate != rate) {  // new, or its limits have changed
    usage.rate = rate;
    usage.requests_left = rate ? static_cast<double>(rate->requests) : 0;
    usage.counted = now.steady;
  }
  if (rate) {
    const double passed = duration<double>(now.steady - usage.counted).count();
    usage.requests_left = std::min(static_cast<double>(rate->requests),
                                   usage.requests_left + passed * RefillPerSecond(*rate));
    usage.counted = now.steady;
  }
  if (const sys_days today = floor<days>(now.utc); usage.day != today) {
    usage.day = today;
    usage.tokens = 0;
  }
  return usage;
}

Quotas::Decision Quotas::Charge(const std::string& caller, const KeyLimits& limits, Time now) {
  const std::optional<RequestRate> rate = limits.rate ? limits.rate : rate_;
  const std::lock_guard lock(mutex_);
  Usage& usage = Find(caller, rate, now);
  Decision decision;
  const double to_midnight = duration<double>(usage.day + days(1) - now.utc).count();
  if (limits.concurrent > 0 && usage.running >= limits.concurrent) {
    decision.refusal =
        Refusal(fmt::format("requests of this key under way: {}, as many as it may have at once",
                            limits.concurrent),
                1);
  } else if (limits.tokens_per_day > 0 && usage.tokens >= limits.tokens_per_day) {
    decision.refusal = Refusal(fmt::format("this key has used its {} tokens of the day, which ends "
                                           "at midnight UTC",
                                           limits.tokens_per_day),
                               to_midnight);
  } else if (rate && usage.requests_left < 1) {
    decision.refusal = Refusal(fmt::format("more requests than {}", ToString(*rate)),
                               (1 - usage.requests_left) / RefillPerSecond(*rate));
  } else {
    if (rate) usage.requests_left -= 1;
    ++usage.running;
    decision.ticket = std::make_unique<Ticket>(this, caller);
  }

  const auto tell = [&](const char* what, uint64_t limit, uint64_t left, double reset) {
    decision.headers.emplace_back(fmt::format("x-ratelimit-limit-{}", what), std::to_string(limit));
    decision.headers.emplace_back(fmt::format("x-ratelimit-remaining-{}", what),
                                  std::to_string(left));
    decision.headers.emplace_back(fmt::format("x-ratelimit-reset-{}", what), DurationText(reset));
  };
  if (rate) {
    const double missing = static_cast<double>(rate->requests) - usage.requests_left;
    tell("requests", rate->requests, static_cast<uint64_t>(usage.requests_left),
         missing / RefillPerSecond(*rate));
  }
  if (limits.tokens_per_day > 0) {
    tell("tokens", limits.tokens_per_day,
         limits.tokens_per_day - std::min(usage.tokens, limits.tokens_per_day), to_midnight);
  }
  return decision;
}

std::vector<DayTokens> Quotas::TokensOfDay(Time now) {
  const sys_days today = floor<days>(now.utc);
  std::vector<DayTokens> counted;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [caller, usage] : usages_) {
      if (usage.day == today && usage.tokens > 0) counted.push_back({today, caller, usage.tokens});
    }
  }
  std::sort(counted.begin(), counted.end(),
            [](const DayTokens& a, const DayTokens& b) { return a.caller < b.caller; });
  return counted;
}

void Quotas::Restore(const std::vector<DayTokens>& counted, Time now) {
  const sys_days today = floor<days>(now.utc);
  const std::lock_guard lock(mutex_);
  for (const DayTokens& spent : counted) {
    if (spent.day == today) Find(spent.caller, std::nullopt, now).tokens = spent.tokens;
  }
}

void Quotas::Spend(const std::string& caller, uint64_t tokens, Time now) {
  const std::lock_guard lock(mutex_);
  const auto found = usages_.find(caller);
  Find(caller, found->second.rate, now).tokens += tokens;
}

void Quotas::End(const std::string& caller) {
  const std::lock_guard lock(mutex_);
  --usages_.find(caller)->second.running;
}

/// Drops callers of whom nothing is left to know, so that many addresses do not fill the memory.
void Quotas::ForgetIdle(Time now) {
  const sys_days today = floor<days>(now.utc);
  std::erase_if(usages_, [&](const auto& entry) {
    const Usage& usage = entry.second;
    const bool full = !usage.rate || now.steady - usage.counted >= usage.rate->window;
    return usage.running == 0 && full && (usage.tokens == 0 || usage.day != today);
  });
  forget_at_ = std::max<size_t>(1024, 2 * usages_.size());
}

}  // namespace quern
