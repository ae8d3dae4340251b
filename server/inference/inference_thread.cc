#include "server/inference/inference_thread.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace quern {
namespace {

/// Tells the ticket's holder that nothing comes of it.
void PutCancelled(const Ticket& ticket) {
  const auto put = [&]<typename Request, typename Event>(const Work<Request, Event>& work) {
    work.events->Put({ticket.index, Event::Cancelled()});
  };
  std::visit(put, ticket.work);
}

}  // namespace

InferenceThread::InferenceThread(std::unique_ptr<Engine> engine, size_t max_queue,
                                 InferenceListener listener, ThreadBudget* budget)
    : engine_(std::move(engine)),
      max_requests_(engine_->options().max_running + max_queue),
      listener_(std::move(listener)),
      budget_(budget),
      status_(engine_->status()),
      thread_([this] { Loop(); }) {}

InferenceThread::~InferenceThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

Result<InferenceThread::Tickets> InferenceThread::Submit(
    std::span<GenerateRequest> requests, size_t first,
    const std::shared_ptr<GenerateQueue>& events) {
  return SubmitAll(requests, first, events);
}

Result<InferenceThread::Tickets> InferenceThread::Submit(
    std::span<EmbedRequest> requests, size_t first, const std::shared_ptr<EmbedQueue>& events) {
  return SubmitAll(requests, first, events);
}

template <typename Request, typename Event>
Result<InferenceThread::Tickets> InferenceThread::SubmitAll(
    std::span<Request> requests, size_t first, const std::shared_ptr<EventQueue<Event>>& events) {
  if (closed_) return Fail(ErrorCode::kCancelled, "the server is shutting down");
  const size_t n = requests.size();
  Tickets tickets;
  tickets.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    tickets.push_back(std::make_shared<Ticket>());
    tickets.back()->prompt_tokens = requests[i].prompt.size();
    tickets.back()->index = first + i;
  }
  if (n_active_.fetch_add(n) + n > max_requests_) {
    n_active_.fetch_sub(n);
    return Fail(ErrorCode::kBusy, "{} answers are running or waiting already: try later",
                max_requests_);
  }
  // From here on nothing fails: who is refused keeps the requests.
  for (size_t i = 0; i < n; ++i) {
    tickets[i]->work = Work<Request, Event>{std::move(requests[i]), events};
  }
  {
    const std::lock_guard lock(mutex_);
    arrivals_.insert(arrivals_.end(), tickets.begin(), tickets.end());
    stall_.Begin(Clock::now());
  }
  work_.notify_one();
  return tickets;
}

void InferenceThread::Close(Clock::time_point deadline) {
  closed_ = true;
  const auto wait = [this](Clock::time_point until) {
    while (n_active_ > 0 && Clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  wait(deadline);
  cancel_all_ = true;
  // A step is the longest that a cancelled request still takes.
  wait(Clock::now() + std::chrono::seconds(10));
}

EngineStatus InferenceThread::status() const {
  const std::lock_guard lock(mutex_);
  EngineStatus status = status_;
  status.n_waiting += arrivals_.size();
  for (const std::shared_ptr<Ticket>& ticket : arrivals_) {
    status.requests.push_back({.prompt_tokens = ticket->prompt_tokens});
  }
  return status;
}

std::chrono::steady_clock::duration InferenceThread::stalled() const {
  const std::lock_guard lock(mutex_);
  return stall_.Stalled(Clock::now());
}

void InferenceThread::Loop() {
  bool busy = false;
  while (TakeArrivals(busy)) {
    for (const Running& running : running_) {
      if (cancel_all_ || running.ticket->cancelled) engine_->Cancel(running.id);
    }
    busy = Step();
    Publish();
  }
  for (const Running& running : running_) engine_->Cancel(running.id);
  engine_->Step();
  for (const std::shared_ptr<Ticket>& ticket : arrivals_) {
    PutCancelled(*ticket);
  }
}

bool InferenceThread::Step() {
  try {
    if (budget_ == nullptr) return engine_->Step();
    const ThreadBudget::Share share = budget_->Take(engine_->options().n_threads);
    return engine_->Step();
  } catch (const std::exception& error) {
    if (listener_.on_failed_step) listener_.on_failed_step(error.what(), running_.size());
    for (const Running& running : running_) engine_->Cancel(running.id);
    return true;
  }
}

bool InferenceThread::TakeArrivals(bool busy) {
  std::vector<std::shared_ptr<Ticket>> arrivals;
  {
    std::unique_lock lock(mutex_);
    if (!busy) {
      if (arrivals_.empty()) stall_.Rest();
      work_.wait(lock, [&] { return stopping_ || !arrivals_.empty(); });
    }
    if (stopping_) return false;
    stall_.Progress(Clock::now());
    // Monitors find them in the queue at once, whatever the coming step takes.
    for (const std::shared_ptr<Ticket>& ticket : arrivals_) {
      status_.requests.push_back({.prompt_tokens = ticket->prompt_tokens});
    }
    status_.n_waiting += arrivals_.size();
    arrivals.swap(arrivals_);
  }
  for (const std::shared_ptr<Ticket>& ticket : arrivals) Start(ticket);
  return true;
}

void InferenceThread::Start(const std::shared_ptr<Ticket>& ticket) {
  const auto submit = [&]<typename Request, typename Event>(Work<Request, Event>& work) {
    return engine_->Submit(std::move(work.request),
                           [this, raw = ticket.get(), events = work.events](const Event& event) {
                             OnEvent(raw, events, event);
                           });
  };
  const Result<RequestId> id = std::visit(submit, ticket->work);
  if (id) {
    running_.push_back({ticket, *id, {}});
  } else {  // Submit here has passed the same check before; a request must end in any case
    n_active_.fetch_sub(1);
    PutCancelled(*ticket);
  }
}

template <typename Event>
void InferenceThread::OnEvent(const Ticket* ticket,
                              const std::shared_ptr<EventQueue<Event>>& events,
                              const Event& event) {
  const auto running = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& r) { return r.ticket.get() == ticket; });
  if constexpr (std::is_same_v<Event, GenerateEvent>) {
    if (event.token) NoteToken(*running, Clock::now());
  }
  // Its place is free before its client can know that it has ended, and ask for the next.
  if (event.is_last()) n_active_.fetch_sub(1);
  events->Put({ticket->index, event});
  if (event.is_last()) running_.erase(running);
}

void InferenceThread::NoteToken(Running& running, Clock::time_point now) {
  if (listener_.on_inter_token && running.last_token != Clock::time_point{}) {
    listener_.on_inter_token(std::chrono::duration<double>(now - running.last_token).count());
  }
  running.last_token = now;
}

void InferenceThread::Publish() {
  EngineStatus status = engine_->status();
  for (const RequestStatus& request : status.requests) {
    if (request.phase == RequestPhase::kWaiting) continue;
    const auto running = std::find_if(running_.begin(), running_.end(),
                                      [&](const Running& r) { return r.id == request.id; });
    if (running != running_.end()) running->ticket->started = true;
  }
  const std::lock_guard lock(mutex_);
  status_ = std::move(status);
}

}  // namespace quern
