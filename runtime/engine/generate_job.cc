#include "runtime/engine/generate_job.h"

#include <algorithm>
#include <utility>

namespace quern {

GenerateJob::GenerateJob(RequestId id, GenerateRequest request, EventSink sink,
                         const Tokenizer& tokenizer, KvPool* pool)
    : Job(id, request.prompt, pool),
      request_(std::move(request)),
      sink_(std::make_shared<const EventSink>(std::move(sink))),
      tokenizer_(&tokenizer),
      sampler_(request_.sampling),
      detokenizer_(tokenizer),
      stop_(request_.stop) {
  for (const Token token : tokens_) sampler_.Accept(token);
}

BatchPart GenerateJob::Part(size_t n_tokens) {
  BatchPart part{&sequence_, pending().first(n_tokens), 0};
  part.n_logits = wants_every_logit() ? n_tokens : (is_last_part(n_tokens) ? 1 : 0);
  return part;
}

Delivery GenerateJob::Take(std::span<const float> logits, size_t n_vocab) {
  if (logits.empty()) return nullptr;
  ScorePrompt(logits, n_vocab);
  if (!pending().empty()) return nullptr;
  const EngineClock::time_point now = EngineClock::now();
  if (n_generated_ == 0) {
    prompt_stats_.prefill_seconds = SecondsBetween(started_, now);
    first_token_ = now;
  }
  decode_seconds_ = SecondsBetween(first_token_, now);
  if (*request_.max_tokens == 0) return Tell(Finish(FinishReason::kLength));
  return Tell(Choose(logits.last(n_vocab)));
}

/// The row of position p scores token p + 1. Rows that run again, after their pages were taken away
/// or dropped, are not scored twice.
void GenerateJob::ScorePrompt(std::span<const float> logits, size_t n_vocab) {
  if (!request_.prompt_logprobs) return;
  const size_t n_rows = logits.size() / n_vocab;
  const size_t first = sequence_.n_past() - n_rows;
  for (size_t i = 0; i < n_rows; ++i) {
    const size_t next = first + i + 1;
    if (next != prompt_logprobs_.size() + 1 || next >= request_.prompt.size()) continue;
    prompt_logprobs_.push_back(
        sampler_.Score(logits.subspan(i * n_vocab, n_vocab), request_.prompt[next]));
  }
}

/// Samples the next token.
GenerateEvent GenerateJob::Choose(std::span<const float> logits) {
  GenerateEvent event;
  event.token = sampler_.Sample(logits);
  const Token token = event.token->token;
  tokens_.push_back(token);
  ++n_generated_;
  if (!request_.ignore_eos && tokenizer_->IsEndOfGeneration(token)) {
    return Finish(FinishReason::kEndOfGeneration, std::move(event));
  }
  event.text = stop_.Add(detokenizer_.Add(token));
  if (!stop_.matched().empty()) return Finish(FinishReason::kStopText, std::move(event));
  if (n_generated_ == *request_.max_tokens) {
    return Finish(FinishReason::kLength, std::move(event));
  }
  event.stats = stats();
  event.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  request_.prompt_logprobs = false;
  return event;
}

GenerateEvent GenerateJob::Finish(FinishReason reason, GenerateEvent event) {
  finished_ = true;
  event.finished = true;
  event.finish_reason = reason;
  event.stop_text = stop_.matched();
  event.text += stop_.Add(detokenizer_.Finish());
  event.text += stop_.Finish();
  event.stats = stats();
  event.prompt_logprobs = std::move(prompt_logprobs_);
  return event;
}

Delivery GenerateJob::Cancel() { return Tell(Finish(FinishReason::kCancelled)); }

GenerateStats GenerateJob::stats() const {
  GenerateStats stats{prompt_stats_};
  stats.generated_tokens = n_generated_;
  stats.n_shifts = n_shifts_;
  stats.decode_seconds = decode_seconds_;
  return stats;
}

Delivery GenerateJob::Tell(GenerateEvent event) const {
  if (!*sink_) return nullptr;
  return [sink = sink_, event = std::move(event)] { (*sink)(event); };
}

void GenerateJob::ShiftContext(size_t n_ctx) {
  if (!request_.context_shift_keep || tokens_.size() <= n_ctx) return;
  const size_t keep = std::min(*request_.context_shift_keep, n_ctx / 2);
  const size_t n_dropped = std::max<size_t>(1, (n_ctx - keep) / 2);
  const auto first = tokens_.begin() + static_cast<ptrdiff_t>(keep);
  tokens_.erase(first, first + static_cast<ptrdiff_t>(n_dropped));
  sequence_.Truncate(std::min(keep, sequence_.n_past()));
  ++n_shifts_;
}

}  // namespace quern
