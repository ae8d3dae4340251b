// A request for an embedding on its way through the engine: pools the hidden states of its prompt.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/embed.h"
#include "runtime/engine/job.h"

namespace quern {

class EmbedJob final : public Job {
 public:
  /// `request` has passed the engine's check.
  EmbedJob(RequestId id, EmbedRequest request, EmbedSink sink, KvPool* pool);

  bool needs_every_row() const override { return pooling_ == Pooling::kMean; }
  bool wants_hidden() const override { return true; }
  BatchPart Part(size_t n_tokens) override;
  Delivery Take(std::span<const float> hidden, size_t n_embd) override;
  Delivery Cancel() override;

 private:
  Delivery Finish(Embedding embedding);

  Pooling pooling_;
  std::shared_ptr<const EmbedSink> sink_;
  std::vector<double> sum_;  ///< [n_embd]
  size_t n_pooled_ = 0;      ///< rows in it
};

}  // namespace quern
