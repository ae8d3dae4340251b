#include "server/inference/request_group.h"

#include <algorithm>
#include <span>

namespace quern {
namespace {

/// Between two looks at who has started, and whether the client is still there.
constexpr std::chrono::milliseconds kStartPollInterval(50);

}  // namespace

template <typename Request, typename Event>
Result<std::unique_ptr<RequestGroup<Request, Event>>> RequestGroup<Request, Event>::Submit(
    InferenceThread* inference, std::vector<Request> requests) {
  std::unique_ptr<RequestGroup> group(new RequestGroup(inference, std::move(requests)));
  if (Status status = group->SubmitMore(); !status) return Propagate(status);
  return group;
}

template <typename Request, typename Event>
Status RequestGroup<Request, Event>::SubmitMore() {
  const size_t first = tickets_.size();
  const size_t n_running = first - n_finished_;
  const size_t max_running = inference_->options().max_running;
  const size_t room = max_running - std::min(n_running, max_running);
  const size_t n = std::min(room, requests_.size() - first);
  if (n == 0) return {};
  auto tickets = inference_->Submit(std::span(requests_).subspan(first, n), first, events_);
  if (!tickets) return Propagate(tickets);
  tickets_.insert(tickets_.end(), tickets->begin(), tickets->end());
  return {};
}

template <typename Request, typename Event>
RequestGroup<Request, Event>::~RequestGroup() {
  // Of a finished one this changes nothing.
  for (const auto& ticket : tickets_) ticket->cancelled = true;
}

template <typename Request, typename Event>
GroupStart RequestGroup<Request, Event>::AwaitStart(std::chrono::milliseconds timeout,
                                                    const std::function<bool()>& is_client_gone) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto has_started = [](const std::shared_ptr<Ticket>& ticket) {
    return ticket->started.load();
  };
  while (std::none_of(tickets_.begin(), tickets_.end(), has_started)) {
    early_ = events_->Take(kStartPollInterval);
    if (early_ && early_->event.is_cancelled()) return GroupStart::kCutOff;
    if (early_) break;
    if (is_client_gone()) return GroupStart::kClientGone;
    if (timeout.count() > 0 && std::chrono::steady_clock::now() > deadline) {
      return GroupStart::kTimedOut;
    }
  }
  return GroupStart::kStarted;
}

template <typename Request, typename Event>
std::optional<IndexedEvent<Event>> RequestGroup<Request, Event>::Next(
    std::chrono::milliseconds timeout) {
  std::optional<IndexedEvent<Event>> event = std::exchange(early_, std::nullopt);
  if (!event) event = events_->Take(timeout);
  if (event && event->event.is_last()) ++n_finished_;
  // While others have taken the places, it is tried again with the next call.
  if (Status status = SubmitMore(); !status && status.error().code == ErrorCode::kCancelled) {
    return IndexedEvent<Event>{tickets_.size(), Event::Cancelled()};
  }
  return event;
}

template class RequestGroup<GenerateRequest, GenerateEvent>;
template class RequestGroup<EmbedRequest, Embedding>;

}  // namespace quern
