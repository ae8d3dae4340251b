#include "server/exchange.h"

#include <algorithm>

namespace quern {

RequestOutcome OutcomeOf(int status) {
  if (status < 400) return RequestOutcome::kAnswered;
  return status < 500 || status == 503 ? RequestOutcome::kRejected : RequestOutcome::kFailed;
}

HttpHeaders Exchange::NamingHeaders() const {
  HttpHeaders headers = {{kRequestIdHeader, record.id}};
  if (span != nullptr) headers.Add(kTraceparentHeader, span->traceparent());
  return headers;
}

void Exchange::BeginTry() {
  record.outcome = RequestOutcome::kAnswered;
  record.submit_seconds = 0;
  record.first_token_seconds = 0;
}

void Exchange::NoteStatus(int status) {
  record.status = status;
  if (record.outcome == RequestOutcome::kAnswered) record.outcome = OutcomeOf(status);
}

void Exchange::NoteAnswers(std::span<const Answer> answers, size_t n) {
  for (size_t i = 0; i < answers.size(); ++i) {
    const GenerateStats& stats = answers[i].stats;
    NoteTimes(stats, stats.generated_tokens);
    record.generated_tokens += stats.generated_tokens;
    record.decode_seconds = std::max(record.decode_seconds, stats.decode_seconds);
    if (i % n == 0) NotePrompt(stats);
  }
}

void Exchange::NoteEmbeddings(std::span<const Embedding> embeddings) {
  for (const Embedding& embedding : embeddings) {
    NoteTimes(embedding.stats, /*generated_tokens=*/0);
    NotePrompt(embedding.stats);
  }
}

void Exchange::NoteTimes(const PromptStats& stats, size_t generated_tokens) {
  record.queue_seconds = std::max(record.queue_seconds, stats.queue_seconds);
  record.prefill_seconds = std::max(record.prefill_seconds, stats.prefill_seconds);
  record.longest_tokens = std::max(record.longest_tokens, stats.prompt_tokens + generated_tokens);
}

void Exchange::NotePrompt(const PromptStats& stats) {
  record.prompt_tokens += stats.prompt_tokens;
  record.cached_tokens += stats.cached_tokens;
}

}  // namespace quern
