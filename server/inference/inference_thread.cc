#include "server/inference/inference_thread.h"

#include <algorithm>
#include <utility>

namespace quern {
namespace {

GenerateEvent CancelledEvent() {
  GenerateEvent event;
  event.finished = true;
  event.finish_reason = FinishReason::kCancelled;
  return event;
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

Result<std::vector<std::shared_ptr<Ticket>>> InferenceThread::Submit(
    std::span<GenerateRequest> requests, size_t first, const std::shared_ptr<EventQueue>& events) {
  if (closed_) return Fail(ErrorCode::kCancelled, "the server is shutting down");
  const size_t n = requests.size();
  std::vector<std::shared_ptr<Ticket>> tickets;
  tickets.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    tickets.push_back(std::make_shared<Ticket>());
    tickets.back()->events = events;
    tickets.back()->index = first + i;
  }
  if (n_active_.fetch_add(n) + n > max_requests_) {
    n_active_.fetch_sub(n);
    return Fail(ErrorCode::kBusy, "{} answers are running or waiting already: try later",
                max_requests_);
  }
  for (size_t i = 0; i < n; ++i) tickets[i]->request = std::move(requests[i]);
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
    status.requests.push_back({.prompt_tokens = ticket->request.prompt.size()});
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
    ticket->events->Put({ticket->index, CancelledEvent()});
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
    // Monitors find them in the line at once, whatever the coming step takes.
    for (const std::shared_ptr<Ticket>& ticket : arrivals_) {
      status_.requests.push_back({.prompt_tokens = ticket->request.prompt.size()});
    }
    status_.n_waiting += arrivals_.size();
    arrivals.swap(arrivals_);
  }
  for (const std::shared_ptr<Ticket>& ticket : arrivals) Start(ticket);
  return true;
}

void InferenceThread::Start(const std::shared_ptr<Ticket>& ticket) {
  const Result<RequestId> id = engine_->Submit(
      std::move(ticket->request),
      [this, raw = ticket.get()](const GenerateEvent& event) { OnEvent(raw, event); });
  if (id) {
    running_.push_back({ticket, *id, {}});
  } else {  // Submit here has passed the same check before; a request must end in any case
    n_active_.fetch_sub(1);
    ticket->events->Put({ticket->index, CancelledEvent()});
  }
}

void InferenceThread::OnEvent(const Ticket* ticket, const GenerateEvent& event) {
  const auto running = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& r) { return r.ticket.get() == ticket; });
  const Clock::time_point now = Clock::now();
  if (event.token) {
    if (listener_.on_inter_token && running->last_token != Clock::time_point{}) {
      listener_.on_inter_token(std::chrono::duration<double>(now - running->last_token).count());
    }
    running->last_token = now;
  }
  // Its place is free before its client can know that it has ended, and ask for the next.
  if (event.finished) n_active_.fetch_sub(1);
  running->ticket->events->Put({running->ticket->index, event});
  if (event.finished) running_.erase(running);
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
