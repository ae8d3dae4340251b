#include "tools/hub/backoff.h"

#include <fmt/format.h>

#include <algorithm>

#include "gguf/base/parse_number.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLongestWait = seconds(30);
constexpr int64_t kMostRetryAfter = 120;  // seconds

/// The other form, a date, is rare and counts as none.
std::optional<seconds> RetryAfter(const HttpResponse& response) {
  const auto number = ParseNumber<int64_t>(response.Header("retry-after"));
  if (!number || *number < 0) return std::nullopt;
  return seconds(std::min(*number, kMostRetryAfter));
}

}  // namespace

std::string ProblemOf(const HttpResponse& response) {
  if (!response.problem.empty()) return response.problem;
  const bool is_content = response.status == 200 || response.status == 206;
  return is_content ? "the answer was too short"
                    : fmt::format("the hub answers {}", response.status);
}

bool MayPass(const HttpResponse& response) {
  if (response.ending == HttpEnding::kCut) return true;
  return response.ending != HttpEnding::kRefused &&
         (response.status == 429 || (response.status >= 500 && response.status < 600));
}

std::optional<milliseconds> Backoff::Next(const HttpResponse& response) {
  if (++n_tries_ >= policy_.most_tries) return std::nullopt;
  if (const auto asked = RetryAfter(response)) return *asked;
  milliseconds wait = policy_.first_wait;
  for (int i = 1; i < n_tries_ && wait < kLongestWait; ++i) wait *= 2;
  return std::min(wait, kLongestWait);
}

std::string Backoff::LineOf(const HttpResponse& response, milliseconds wait) {
  return fmt::format("{}, trying again in {:.0f} s", ProblemOf(response),
                     std::chrono::duration<double>(wait).count());
}

}  // namespace quern
