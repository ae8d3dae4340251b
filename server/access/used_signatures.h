// Signatures that requests have had, so that each is taken once.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "gguf/base/digest.h"
#include "server/http/http_error.h"

namespace quern {

/// Thread-safe. Nothing outlasts the process: of what was signed before it started all is refused,
/// as it may have been used.
class UsedSignatures {
 public:
  /// Of one key at a time: about 10 MB. With the usual window it lets a key sign 109 requests a
  /// second, more than a CPU answers.
  static constexpr size_t kMostPerKey = 65536;

  /// Signatures are kept while their time is within `window` of now.
  UsedSignatures(std::chrono::seconds window, std::chrono::sys_seconds started,
                 size_t most_per_key = kMostPerKey)
      : window_(window),
        started_(started),
        forgotten_(started - std::chrono::seconds(1)),
        most_per_key_(most_per_key) {}

  /// Uses a signature of the key so named, which is right and within the window. Refuses with 401
  /// one that was used, or may have been; with 429 one too many of this key, until others expire.
  std::optional<HttpError> Use(const std::string& key, std::chrono::sys_seconds signed_at,
                               const Sha256Digest& signature, std::chrono::sys_seconds now);

 private:
  void Forget(std::chrono::sys_seconds now);

  const std::chrono::seconds window_;
  const std::chrono::sys_seconds started_;
  std::mutex mutex_;
  /// By their time, as they are forgotten. All below is under mutex_.
  std::map<std::pair<std::chrono::sys_seconds, Sha256Digest>, std::string> keys_;
  std::unordered_map<std::string, size_t> counts_;  ///< of each key
  /// Time of the latest that is not kept any more: a clock that is set back makes it young again.
  std::chrono::sys_seconds forgotten_;
  const size_t most_per_key_;
};

}  // namespace quern
