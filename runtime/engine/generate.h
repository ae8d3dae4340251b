// Answers: what an engine is asked for, and what it tells.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/engine/sampler.h"
#include "runtime/text/token.h"

namespace quern {

enum class FinishReason : uint8_t { kEndOfGeneration, kStopText, kLength, kCancelled };

/// "stop", "length" or "cancelled".
std::string_view NameOf(FinishReason reason);

struct GenerateRequest {
  std::vector<Token> prompt;  ///< at least one token
  /// None: as many as the context holds; 0: the prompt is run and nothing is generated.
  std::optional<size_t> max_tokens;
  SamplingParams sampling;
  std::vector<std::string> stop;  ///< texts that end the answer; they are not part of it
  bool ignore_eos = false;
  bool prompt_logprobs = false;  ///< of the prompt's tokens as well, as sampling.n_logprobs says
  /// When the context is full, half of what stands behind this many first tokens (at most half of
  /// the context) is dropped, and what is left is run again as a prompt. None: the answer ends.
  std::optional<size_t> context_shift_keep;
};

/// Counts and times of one request.
struct GenerateStats : PromptStats {
  size_t generated_tokens = 0;
  size_t n_shifts = 0;  ///< how often the context was shifted
  double decode_seconds = 0;
};

/// What one step adds to an answer.
struct GenerateEvent {
  std::optional<SampledToken> token;  ///< none in the last event of what generated nothing more
  std::string text;  ///< whole UTF-8; may be empty while a sequence or a stop text is incomplete
  bool finished = false;
  FinishReason finish_reason = FinishReason::kEndOfGeneration;
  std::string stop_text;  ///< the one that ended the answer
  GenerateStats stats;    ///< of the request so far
  /// With the first event, where they are wanted: of the prompt's tokens from the second on.
  std::vector<SampledToken> prompt_logprobs;

  static GenerateEvent Cancelled() {
    GenerateEvent event;
    event.finished = true;
    event.finish_reason = FinishReason::kCancelled;
    return event;
  }
  bool is_last() const { return finished; }
  bool is_cancelled() const { return finished && finish_reason == FinishReason::kCancelled; }
};

using EventSink = std::function<void(const GenerateEvent&)>;

}  // namespace quern
