// What an engine holds and has done so far: a copy taken between two steps, for metrics and
// monitors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quern {

enum class RequestPhase : uint8_t { kWaiting, kPrefill, kDecode };

struct RequestStatus {
  uint64_t id = 0;
  RequestPhase phase = RequestPhase::kWaiting;
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;     ///< of the prompt, taken from pages already computed
  size_t processed_tokens = 0;  ///< that have their place in the KV cache
  size_t generated_tokens = 0;
};

struct EngineStatus {
  std::vector<RequestStatus> requests;  ///< running first, in order of admission, then the queue
  size_t n_running = 0;
  size_t n_waiting = 0;

  size_t n_ctx = 0;        ///< most tokens of one request
  size_t page_tokens = 0;  ///< tokens of a KV page
  size_t pages_total = 0;
  size_t pages_in_use = 0;  ///< by running requests
  size_t pages_cached = 0;  ///< by the prefix cache alone

  // Since the engine was made.
  uint64_t steps = 0;
  uint64_t decode_steps = 0;   ///< those with at least one decoding sequence
  uint64_t decoded_rows = 0;   ///< decoding sequences, summed over steps
  uint64_t prompt_tokens = 0;  ///< computed; without those found in the prefix cache
  uint64_t cached_tokens = 0;  ///< found in the prefix cache
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;    ///< running requests queued again for want of pages
  double prefill_seconds = 0;  ///< of steps that read prompts, or the part that they took
  double decode_seconds = 0;
};

}  // namespace quern
