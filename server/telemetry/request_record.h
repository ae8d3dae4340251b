// How one HTTP request went, for the metrics and the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/telemetry/screened_rule.h"

namespace quern {

enum class RequestOutcome : uint8_t {
  kAnswered,
  kRejected,   ///< bad, unauthorized, or refused by a full queue
  kCancelled,  ///< its client went away
  kFailed,     ///< by the server's own fault, or cut off when it stopped
};

struct RequestRecord {
  std::string id;        ///< as in X-Request-Id
  std::string trace_id;  ///< of its span; empty: none
  std::string remote;
  std::string key;  ///< the name of the API key that let it in; empty: none was asked for
  std::string method;
  std::string path;
  std::string model;   ///< that answered, or was to; empty: it came to none
  std::string router;  ///< that chose it; empty: the request named it
  std::string rule;    ///< by which the router chose it
  int status = 0;
  RequestOutcome outcome = RequestOutcome::kAnswered;
  double seconds = 0;  ///< from its first byte to the last of the answer

  std::vector<ScreenedRule> screened;  ///< in its prompts, where they are screened
  std::optional<std::string> prompt;   ///< as PromptText has it, where it is audited

  // Of generation; 0 for other requests.
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;
  size_t generated_tokens = 0;
  size_t longest_tokens = 0;       ///< of one prompt with its answer
  double submit_seconds = 0;       ///< from its arrival until it was queued
  double queue_seconds = 0;        ///< from then to its first step
  double first_token_seconds = 0;  ///< from its arrival to its first token
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

inline const char* OutcomeName(RequestOutcome outcome) {
  switch (outcome) {
    case RequestOutcome::kAnswered:
      return "answered";
    case RequestOutcome::kRejected:
      return "rejected";
    case RequestOutcome::kCancelled:
      return "cancelled";
    case RequestOutcome::kFailed:
      return "failed";
  }
  return "unknown";
}

}  // namespace quern
