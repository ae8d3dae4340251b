#include "server/access/used_signatures.h"

#include <fmt/format.h>

#include <algorithm>

namespace quern {

using std::chrono::sys_seconds;

std::optional<HttpError> UsedSignatures::Use(const std::string& key, sys_seconds signed_at,
                                             const Sha256Digest& signature, sys_seconds now) {
  const std::lock_guard lock(mutex_);
  Forget(now);
  if (signed_at < started_) {
    return HttpError{401, "the request was signed before the server started: sign it anew"};
  }
  const std::pair entry(signed_at, signature);
  if (signed_at <= forgotten_ || keys_.count(entry) > 0) {
    return HttpError{401,
                     "the signature was used before: sign each request anew, with a timestamp of "
                     "its own (fractions of a second tell requests apart)"};
  }
  size_t& count = counts_[key];
  if (count >= most_per_key_) {
    const auto oldest = std::find_if(keys_.begin(), keys_.end(),
                                     [&](const auto& used) { return used.second == key; });
    const auto wait = oldest->first.first + window_ - now;
    return HttpError{
        .status = 429,
        .message = fmt::format("this key has signed {} requests, of which the server keeps the "
                               "signatures for {} s",
                               count, 2 * window_.count()),
        .type = "rate_limit_exceeded",
        .retry_after = static_cast<int>(wait.count()) + 1};
  }
  ++count;
  keys_.emplace(entry, key);
  return std::nullopt;
}

void UsedSignatures::Forget(sys_seconds now) {
  for (auto at = keys_.begin(); at != keys_.end() && at->first.first + window_ < now;
       at = keys_.erase(at)) {
    forgotten_ = std::max(forgotten_, at->first.first);
    const auto count = counts_.find(at->second);
    if (--count->second == 0) counts_.erase(count);
  }
}

}  // namespace quern
