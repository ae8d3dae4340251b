// A request for an answer on its way through the engine: samples what its logits become.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/generate.h"
#include "runtime/engine/job.h"
#include "runtime/engine/sampler.h"
#include "runtime/text/stop_text.h"
#include "runtime/text/tokenizer.h"

namespace quern {

class GenerateJob final : public Job {
 public:
  /// `request` has passed the engine's check and says how many tokens it wants. `tokenizer`
  /// outlives the job.
  GenerateJob(RequestId id, GenerateRequest request, EventSink sink, const Tokenizer& tokenizer,
              KvPool* pool);

  size_t n_generated() const override { return n_generated_; }
  bool needs_every_row() const override { return wants_every_logit(); }
  bool wants_every_logit() const override {
    return request_.prompt_logprobs && prompt_logprobs_.size() + 1 < request_.prompt.size();
  }
  bool wants_hidden() const override { return false; }
  BatchPart Part(size_t n_tokens) override;
  Delivery Take(std::span<const float> logits, size_t n_vocab) override;
  void ShiftContext(size_t n_ctx) override;
  Delivery Cancel() override;

 private:
  void ScorePrompt(std::span<const float> logits, size_t n_vocab);
  GenerateEvent Choose(std::span<const float> logits);
  /// The event that ends it; `event` has what the last step gave.
  GenerateEvent Finish(FinishReason reason, GenerateEvent event = {});
  GenerateStats stats() const;
  Delivery Tell(GenerateEvent event) const;

  GenerateRequest request_;
  std::shared_ptr<const EventSink> sink_;
  const Tokenizer* tokenizer_;
  Sampler sampler_;
  StreamingDetokenizer detokenizer_;
  StopText stop_;
  std::vector<SampledToken> prompt_logprobs_;
  size_t n_generated_ = 0;
  size_t n_shifts_ = 0;
  double decode_seconds_ = 0;
  EngineClock::time_point first_token_;
};

}  // namespace quern
