#include "runtime/engine/job.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quern {
namespace {

double SecondsBetween(EngineClock::time_point begin, EngineClock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

Job::Job(RequestId id, GenerateRequest request, EventSink sink, const Tokenizer& tokenizer,
         KvPool* pool)
    : id_(id),
      request_(std::move(request)),
      sink_(std::make_shared<const EventSink>(std::move(sink))),
      tokenizer_(&tokenizer),
      sampler_(request_.sampling),
      detokenizer_(tokenizer),
      stop_(request_.stop),
      sequence_(pool),
      tokens_(request_.prompt),
      submitted_(EngineClock::now()) {
  for (const Token token : tokens_) sampler_.Accept(token);
  stats_.prompt_tokens = tokens_.size();
}

RequestStatus Job::status(bool running) const {
  return {.id = id_,
          .phase = !running     ? RequestPhase::kWaiting
                   : decoding() ? RequestPhase::kDecode
                                : RequestPhase::kPrefill,
          .prompt_tokens = stats_.prompt_tokens,
          .cached_tokens = stats_.cached_tokens,
          .processed_tokens = sequence_.n_past(),
          .generated_tokens = stats_.generated_tokens};
}

bool Job::Start() {
  if (started_ != EngineClock::time_point{}) return false;
  started_ = EngineClock::now();
  stats_.queue_seconds = SecondsBetween(submitted_, started_);
  stats_.cached_tokens = sequence_.n_past();
  return true;
}

BatchPart Job::Part(size_t n_tokens) {
  BatchPart part{&sequence_, pending().first(n_tokens), 0};
  const size_t last = n_tokens == pending().size() ? 1 : 0;
  if (request_.embed) {
    part.n_hidden = is_mean() ? n_tokens : last;
  } else {
    part.n_logits = wants_prompt_logprobs() ? n_tokens : last;
  }
  return part;
}

std::optional<GenerateEvent> Job::TakeLogits(std::span<const float> logits, size_t n_vocab) {
  if (logits.empty()) return std::nullopt;
  ScorePrompt(logits, n_vocab);
  if (!pending().empty()) return std::nullopt;
  const EngineClock::time_point now = EngineClock::now();
  if (stats_.generated_tokens == 0) {
    stats_.prefill_seconds = SecondsBetween(started_, now);
    first_token_ = now;
  }
  stats_.decode_seconds = SecondsBetween(first_token_, now);
  if (*request_.max_tokens == 0) return Finish(FinishReason::kLength);
  return Choose(logits.last(n_vocab));
}

/// The row of position p scores token p + 1. Rows that run again, after their pages were taken away
/// or dropped, are not scored twice.
void Job::ScorePrompt(std::span<const float> logits, size_t n_vocab) {
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
GenerateEvent Job::Choose(std::span<const float> logits) {
  GenerateEvent event;
  event.token = sampler_.Sample(logits);
  const Token token = event.token->token;
  tokens_.push_back(token);
  ++stats_.generated_tokens;
  if (!request_.ignore_eos && tokenizer_->IsEndOfGeneration(token)) {
    return Finish(FinishReason::kEndOfGeneration, std::move(event));
  }
  event.text = stop_.Add(detokenizer_.Add(token));
  if (!stop_.matched().empty()) return Finish(FinishReason::kStopText, std::move(event));
  if (stats_.generated_tokens == *request_.max_tokens) {
    return Finish(FinishReason::kLength, std::move(event));
  }
  event.stats = stats_;
  event.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  request_.prompt_logprobs = false;
  return event;
}

std::optional<GenerateEvent> Job::TakeHidden(std::span<const float> hidden, size_t n_embd) {
  hidden_sum_.resize(n_embd);
  const size_t n_rows = hidden.size() / n_embd;
  const size_t first = sequence_.n_past() - n_rows;
  for (size_t row = 0; row < n_rows; ++row) {
    if (is_mean() && first + row != n_pooled_) continue;  // it ran before
    // One token after the other, so that the sum does not depend on how the prompt was cut up.
    for (size_t i = 0; i < n_embd; ++i) hidden_sum_[i] += hidden[row * n_embd + i];
    ++n_pooled_;
  }
  if (!pending().empty()) return std::nullopt;
  // The direction of the mean is that of the sum.
  double square = 0;
  for (const double x : hidden_sum_) square += x * x;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  GenerateEvent event;
  event.embedding.reserve(n_embd);
  for (const double x : hidden_sum_) event.embedding.push_back(static_cast<float>(x * scale));
  stats_.prefill_seconds = SecondsBetween(started_, EngineClock::now());
  return Finish(FinishReason::kEndOfGeneration, std::move(event));
}

GenerateEvent Job::Finish(FinishReason reason, GenerateEvent event) {
  finished_ = true;
  event.finished = true;
  event.finish_reason = reason;
  event.stop_text = stop_.matched();
  event.text += stop_.Add(detokenizer_.Finish());
  event.text += stop_.Finish();
  event.stats = stats_;
  event.prompt_logprobs = std::move(prompt_logprobs_);
  return event;
}

void Job::ShiftContext(size_t n_ctx) {
  if (!request_.context_shift_keep || tokens_.size() <= n_ctx) return;
  const size_t keep = std::min(*request_.context_shift_keep, n_ctx / 2);
  const size_t n_dropped = std::max<size_t>(1, (n_ctx - keep) / 2);
  const auto first = tokens_.begin() + static_cast<ptrdiff_t>(keep);
  tokens_.erase(first, first + static_cast<ptrdiff_t>(n_dropped));
  sequence_.Truncate(std::min(keep, sequence_.n_past()));
  ++stats_.n_shifts;
}

}  // namespace quern
