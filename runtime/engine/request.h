// What all requests to an engine share, whether an answer or an embedding is wanted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

using RequestId = uint64_t;

/// Counts and times of a prompt.
struct PromptStats {
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  ///< of the prompt, taken from pages already computed
  double queue_seconds = 0;  ///< from Submit to the first step
  double prefill_seconds = 0;
};

}  // namespace quern
