// When to try again what failed for a while.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "tools/hub/http_client.h"

namespace quern {

struct RetryPolicy {
  int most_tries = 6;  ///< in a row that brought nothing
  /// After the first try; each further one waits twice as long, half a minute at most.
  std::chrono::milliseconds first_wait = std::chrono::seconds(1);
};

/// What is wrong with an answer, in words.
std::string ProblemOf(const HttpResponse& response);

/// Whether an answer is one that another try may better: a cut connection, 429, 5xx.
bool MayPass(const HttpResponse& response);

/// One for each thing that is tried.
class Backoff {
 public:
  explicit Backoff(const RetryPolicy& policy) : policy_(policy) {}

  /// How long to wait before the next try, which is as long as the answer's Retry-After says, up to
  /// two minutes; nothing when there were enough.
  std::optional<std::chrono::milliseconds> Next(const HttpResponse& response);
  /// "the hub answers 503, trying again in 2 s".
  static std::string LineOf(const HttpResponse& response, std::chrono::milliseconds wait);
  /// A try brought something.
  void Reset() { n_tries_ = 0; }

 private:
  RetryPolicy policy_;
  int n_tries_ = 0;
};

}  // namespace quern
