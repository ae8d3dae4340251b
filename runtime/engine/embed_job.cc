#include "runtime/engine/embed_job.h"

#include <cmath>
#include <utility>

namespace quern {

EmbedJob::EmbedJob(RequestId id, EmbedRequest request, EmbedSink sink, KvPool* pool)
    : Job(id, std::move(request.prompt), pool),
      pooling_(request.pooling),
      sink_(std::make_shared<const EmbedSink>(std::move(sink))) {}

BatchPart EmbedJob::Part(size_t n_tokens) {
  BatchPart part{&sequence_, pending().first(n_tokens), 0};
  part.n_hidden = pooling_ == Pooling::kMean ? n_tokens : (is_last_part(n_tokens) ? 1 : 0);
  return part;
}

Delivery EmbedJob::Take(std::span<const float> hidden, size_t n_embd) {
  sum_.resize(n_embd);
  const size_t n_rows = hidden.size() / n_embd;
  const size_t first = sequence_.n_past() - n_rows;
  for (size_t row = 0; row < n_rows; ++row) {
    if (pooling_ == Pooling::kMean && first + row != n_pooled_) continue;  // it ran before
    // One token after the other, so that the sum does not depend on how the prompt was cut up.
    for (size_t i = 0; i < n_embd; ++i) sum_[i] += hidden[row * n_embd + i];
    ++n_pooled_;
  }
  if (!pending().empty()) return nullptr;
  // The direction of the mean is that of the sum.
  double square = 0;
  for (const double x : sum_) square += x * x;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  Embedding embedding;
  embedding.values.reserve(n_embd);
  for (const double x : sum_) embedding.values.push_back(static_cast<float>(x * scale));
  prompt_stats_.prefill_seconds = SecondsBetween(started_, EngineClock::now());
  return Finish(std::move(embedding));
}

Delivery EmbedJob::Cancel() { return Finish(Embedding::Cancelled()); }

Delivery EmbedJob::Finish(Embedding embedding) {
  finished_ = true;
  embedding.stats = prompt_stats_;
  if (!*sink_) return nullptr;
  return [sink = sink_, embedding = std::move(embedding)] { (*sink)(embedding); };
}

}  // namespace quern
