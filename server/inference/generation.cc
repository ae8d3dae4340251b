#include "server/inference/generation.h"

#include <algorithm>
#include <span>

namespace quern {
namespace {

/// Between two looks at who has begun, and whether the client is still there.
constexpr std::chrono::milliseconds kBeginPollInterval(50);

}  // namespace

Result<std::unique_ptr<Generation>> Generation::Start(InferenceThread* inference,
                                                      std::vector<GenerateRequest> requests) {
  std::unique_ptr<Generation> generation(new Generation(inference, std::move(requests)));
  if (Status status = generation->SubmitMore(); !status) return Propagate(status);
  return generation;
}

Generation::Generation(InferenceThread* inference, std::vector<GenerateRequest> requests)
    : inference_(inference),
      requests_(std::move(requests)),
      builders_(requests_.size(), AnswerBuilder(inference->model().tokenizer())) {}

Status Generation::SubmitMore() {
  const size_t first = tickets_.size();
  const size_t n_running = first - n_finished_;
  const size_t room =
      inference_->options().max_running - std::min(n_running, inference_->options().max_running);
  const size_t n = std::min(room, requests_.size() - first);
  if (n == 0) return {};
  auto tickets = inference_->Submit(std::span(requests_).subspan(first, n), first, events_);
  if (!tickets) return Propagate(tickets);
  tickets_.insert(tickets_.end(), tickets->begin(), tickets->end());
  return {};
}

Generation::~Generation() {
  for (const auto& ticket : tickets_)
    ticket->cancelled = true;  // of a finished one this changes nothing
}

Generation::Begin Generation::AwaitBegin(std::chrono::milliseconds timeout,
                                         const std::function<bool()>& is_client_gone) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto has_begun = [](const std::shared_ptr<Ticket>& ticket) {
    return ticket->started.load();
  };
  while (std::none_of(tickets_.begin(), tickets_.end(), has_begun)) {
    early_ = events_->Take(kBeginPollInterval);
    if (early_ && early_->event.finish_reason == FinishReason::kCancelled) return Begin::kCutOff;
    if (early_) break;
    if (is_client_gone()) return Begin::kClientGone;
    if (timeout.count() > 0 && std::chrono::steady_clock::now() > deadline) return Begin::kTimedOut;
  }
  return Begin::kStarted;
}

std::optional<Generation::Part> Generation::Next(std::chrono::milliseconds patience) {
  std::optional<AnswerEvent> event = std::exchange(early_, std::nullopt);
  if (!event) event = events_->Take(patience);
  if (event && event->event.finished) ++n_finished_;
  // While others have taken the places, it is tried again with the next call.
  if (Status status = SubmitMore(); !status && status.error().code == ErrorCode::kCancelled) {
    Answer cut_off;
    cut_off.finished = true;
    cut_off.finish_reason = FinishReason::kCancelled;
    return Part{tickets_.size(), std::move(cut_off)};
  }
  if (!event) return std::nullopt;
  return Part{event->index, builders_[event->index].Add(event->event)};
}

}  // namespace quern
