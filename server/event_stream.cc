#include "server/event_stream.h"

#include <exception>
#include <optional>
#include <utility>

namespace quern {
namespace {

std::string ErrorEvent(const HttpError& error) { return "data: " + HttpErrorBody(error) + "\n\n"; }

}  // namespace

HttpError CutOffError(const InferenceThread& inference) {
  if (inference.closed()) return {503, "the server is shutting down"};
  return {500, "the server could not go on with the answer"};
}

EventStream::EventStream(ModelLease lease, std::unique_ptr<Generation> generation,
                         std::unique_ptr<ResponseFormat> format, std::shared_ptr<Exchange> exchange,
                         const Options& options)
    : lease_(std::move(lease)),
      generation_(std::move(generation)),
      format_(std::move(format)),
      exchange_(std::move(exchange)),
      options_(options),
      answers_(generation_->n_answers()) {
  exchange_->record.outcome = RequestOutcome::kCancelled;  // unless it comes to its end
}

EventStream::~EventStream() { exchange_->NoteAnswers(answers_, options_.n_per_prompt); }

BodyStream::State EventStream::WriteNext(HttpSink& sink) {
  try {
    return WriteEvents(sink);
  } catch (const std::exception& error) {  // such as no memory: it ends this response alone
    exchange_->NoteCutOff();
    Send(sink, ErrorEvent({500, error.what()}));
    return State::kBroken;
  }
}

BodyStream::State EventStream::WriteEvents(HttpSink& sink) {
  std::optional<Generation::Part> part = generation_->Next(options_.client_poll_interval);
  if (!part) {
    const bool is_silent = Clock::now() >= last_write_ + options_.ping_every;
    const bool is_there = is_silent ? Send(sink, ":\n\n") : sink.is_writable();
    return is_there ? State::kGoesOn : State::kBroken;
  }
  if (part->added.is_cut_off()) {
    exchange_->NoteCutOff();
    const bool is_sent = Send(sink, ErrorEvent(CutOffError(lease_.inference())));
    return is_sent ? State::kEnded : State::kBroken;
  }
  if (part->added.stats.generated_tokens > 0) exchange_->NoteToken();
  std::string events = format_->Part(part->index, part->added);
  // Of the whole only the counts are needed.
  answers_[part->index].stats = part->added.stats;
  const bool is_last = generation_->finished();
  if (is_last) events += format_->End(answers_);
  // An empty chunk would end the response.
  if (!events.empty() && !Send(sink, events)) return State::kBroken;
  if (!is_last) return State::kGoesOn;
  exchange_->record.outcome = RequestOutcome::kAnswered;
  return State::kEnded;
}

bool EventStream::Send(HttpSink& sink, const std::string& text) {
  last_write_ = Clock::now();
  return sink.Write(text);
}

}  // namespace quern
