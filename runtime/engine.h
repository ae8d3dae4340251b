// The loop that turns requests into tokens: forms batches of decoding rows and prompt chunks,
// samples, and emits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/result.h"
#include "kernels/attention.h"
#include "runtime/model.h"
#include "runtime/sampler.h"
#include "runtime/thread_team.h"

namespace quern {

struct EngineOptions {
  size_t n_ctx = 4096;        ///< positions of the KV pool, shared by all sequences
  int n_threads = 0;          ///< 0: AvailableThreads()
  size_t chunk_tokens = 512;  ///< most prompt tokens in one step
  KvType kv_type = KvType::kF16;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };

struct GenerateRequest {
  std::vector<Token> prompt;  ///< at least one token
  size_t max_tokens = 0;      ///< 0: as many as the context holds
  SamplingParams sampling;
  std::vector<std::string> stop;  ///< texts that end the answer; they are not part of it
  bool ignore_eos = false;
};

/// Counts and times of one request.
struct GenerateStats {
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  ///< of the prompt, taken from pages already computed
  size_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// What one step adds to an answer.
struct GenerateEvent {
  SampledToken token;
  std::string text;  ///< whole UTF-8; may be empty while a sequence or a stop text is incomplete
  bool finished = false;
  FinishReason finish_reason = FinishReason::kStop;
  GenerateStats stats;  ///< of the request so far
};

using RequestId = uint64_t;
using EventSink = std::function<void(const GenerateEvent&)>;

/// One thread owns an engine. The answer to a request does not depend on what else runs beside it.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<const Model> model,
                                                const EngineOptions& options);
  ~Engine();

  /// Whether Submit would take this request. Errors: kInvalidArgument for an empty prompt, a token
  /// outside the vocabulary, bad sampling parameters, or a prompt that does not fit the context
  /// (with both numbers). Reads only what never changes: any thread may call it.
  Status Check(const GenerateRequest& request) const;

  /// Queues a request; `sink` is called from Step, and may call Submit and Cancel. Errors: those of
  /// Check.
  Result<RequestId> Submit(GenerateRequest request, EventSink sink);

  /// Ends a request at the next step; its sink gets a last event with kCancelled.
  void Cancel(RequestId id);

  /// Runs one batch. False when there is nothing to do.
  bool Step();

  /// Submits, steps until done, and returns the whole answer.
  Result<std::string> Generate(GenerateRequest request, const EventSink& sink = nullptr);

  const Model& model() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
