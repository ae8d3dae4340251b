// One HTTP request and its answer, from the server's side: how it goes, for metrics, log and trace.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "runtime/engine/embed.h"
#include "server/access/quotas.h"
#include "server/api/answer.h"
#include "server/http/http_message.h"
#include "server/telemetry/request_record.h"
#include "server/telemetry/tracer.h"

namespace quern {

inline constexpr const char* kRequestIdHeader = "X-Request-Id";
inline constexpr const char* kTraceparentHeader = "traceparent";

/// What a reply's status tells. 503 says to come back: while the model is being loaded, or after
/// too long in the queue.
RequestOutcome OutcomeOf(int status);

/// Begins when the request has been read. Reports the record when the last holder lets it go: a
/// stream's when it has been written, any other's when it is ready to be.
class Exchange {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Exchange(std::function<void(const RequestRecord&)> report)
      : report_(std::move(report)), start_(Clock::now()) {}
  ~Exchange() {
    if (ticket != nullptr) ticket->Spend(record.prompt_tokens + record.generated_tokens);
    record.seconds = Seconds();
    if (span != nullptr) span->End(record);
    report_(record);
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Since the request came.
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  /// Those of the reply that name the request: in logs, and in its trace.
  HttpHeaders NamingHeaders() const;

  /// A model is tried: what one that failed before it has noted is void.
  void BeginTry();

  /// It is about to be queued.
  void NoteSubmit() { record.submit_seconds = Seconds(); }

  /// The first token of an answer has come.
  void NoteToken() {
    if (record.first_token_seconds == 0) record.first_token_seconds = Seconds();
  }

  /// The status of the reply. An outcome that was noted before stays.
  void NoteStatus(int status);

  /// The server ends an answer under way.
  void NoteCutOff() { record.outcome = RequestOutcome::kFailed; }

  /// The client has gone before there was a reply.
  void NoteClientGone() {
    record.status = 0;
    record.outcome = RequestOutcome::kCancelled;
  }

  /// Counts what `answers` took; each prompt has `n` of them.
  void NoteAnswers(std::span<const Answer> answers, size_t n);
  /// Counts what `embeddings` took, of a prompt each.
  void NoteEmbeddings(std::span<const Embedding> embeddings);

  RequestRecord record;
  std::unique_ptr<Quotas::Ticket> ticket;  ///< of the caller, where requests are counted
  std::unique_ptr<RequestSpan> span;       ///< where it is traced

 private:
  void NoteTimes(const PromptStats& stats, size_t generated_tokens);
  void NotePrompt(const PromptStats& stats);

  std::function<void(const RequestRecord&)> report_;
  Clock::time_point start_;
};

}  // namespace quern
