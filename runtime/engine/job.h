// One request on its way through the engine: what is still to run, and what its logits become.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/engine/engine_status.h"
#include "runtime/engine/generate.h"
#include "runtime/forward/executor.h"
#include "runtime/forward/sequence.h"
#include "runtime/text/stop_text.h"
#include "runtime/text/tokenizer.h"

namespace quern {

using EngineClock = std::chrono::steady_clock;

class Job {
 public:
  /// `request` has passed the engine's check and says how many tokens it wants. `tokenizer` and
  /// `pool` outlive the job.
  Job(RequestId id, GenerateRequest request, EventSink sink, const Tokenizer& tokenizer,
      KvPool* pool);

  RequestId id() const { return id_; }
  const std::shared_ptr<const EventSink>& sink() const { return sink_; }
  Sequence& sequence() { return sequence_; }
  RequestStatus status(bool running) const;

  /// Prompt and answer so far.
  std::span<const Token> tokens() const { return tokens_; }
  /// Those of them that are still to run.
  std::span<const Token> pending() const { return tokens().subspan(sequence_.n_past()); }
  /// Whether its next step is one row that continues an answer; else it reads a prompt.
  bool decoding() const { return stats_.generated_tokens > 0 && pending().size() == 1; }
  bool is_embedding() const { return request_.embed.has_value(); }
  /// Whether rows of the prompt must run though their pages are cached.
  bool needs_every_row() const { return wants_prompt_logprobs() || is_mean(); }
  /// Whether each row of its next part gives logits.
  bool wants_prompt_logprobs() const {
    return request_.prompt_logprobs && prompt_logprobs_.size() + 1 < request_.prompt.size();
  }

  /// Counts what was found in the cache, and the time that it waited. False after the first call,
  /// which alone counts.
  bool Start();

  /// Its part in a batch: the next `n_tokens`.
  BatchPart Part(size_t n_tokens);
  /// Takes what the part's rows gave, [rows][n_vocab] and [rows][n_embd], after the sequence has
  /// advanced. No event while a prompt is being read.
  std::optional<GenerateEvent> TakeLogits(std::span<const float> logits, size_t n_vocab);
  std::optional<GenerateEvent> TakeHidden(std::span<const float> hidden, size_t n_embd);

  /// The event that ends it; `event` has what the last step gave.
  GenerateEvent Finish(FinishReason reason, GenerateEvent event = {});
  bool finished() const { return finished_; }

  /// Makes room in a context of `n_ctx` that is full, if the request allows it.
  void ShiftContext(size_t n_ctx);

  bool cancelled = false;
  size_t deadline = 0;  ///< its place in the line of prompts to read: the least comes first

 private:
  bool is_mean() const { return request_.embed == Pooling::kMean; }
  void ScorePrompt(std::span<const float> logits, size_t n_vocab);
  GenerateEvent Choose(std::span<const float> logits);

  RequestId id_;
  GenerateRequest request_;
  std::shared_ptr<const EventSink> sink_;
  const Tokenizer* tokenizer_;
  Sampler sampler_;
  StreamingDetokenizer detokenizer_;
  StopText stop_;
  Sequence sequence_;
  std::vector<Token> tokens_;
  GenerateStats stats_;
  std::vector<SampledToken> prompt_logprobs_;
  std::vector<double> hidden_sum_;  ///< [n_embd], of an embedding
  size_t n_pooled_ = 0;             ///< rows in it
  EngineClock::time_point submitted_;
  EngineClock::time_point started_;  ///< the clock's beginning: not yet
  EngineClock::time_point first_token_;
  bool finished_ = false;
};

}  // namespace quern
