#include "server/inference_thread.h"

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

InferenceThread::InferenceThread(std::unique_ptr<Engine> engine, size_t max_requests)
    : engine_(std::move(engine)), max_requests_(max_requests), thread_([this] { Loop(); }) {}

InferenceThread::~InferenceThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

Result<std::shared_ptr<Ticket>> InferenceThread::Submit(GenerateRequest request) {
  if (Status status = engine_->Check(request); !status) return Propagate(status);
  if (closed_) return Fail(ErrorCode::kCancelled, "the server is shutting down");
  if (n_active_.fetch_add(1) >= max_requests_) {
    n_active_.fetch_sub(1);
    return Fail(ErrorCode::kOutOfMemory, "{} requests are running or waiting already: try later",
                max_requests_);
  }
  auto ticket = std::make_shared<Ticket>();
  ticket->request = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(ticket);
  }
  work_.notify_one();
  return ticket;
}

void InferenceThread::Close(std::chrono::steady_clock::time_point deadline) {
  closed_ = true;
  const auto wait = [this](std::chrono::steady_clock::time_point until) {
    while (n_active_ > 0 && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  wait(deadline);
  cancel_all_ = true;
  // A step is the longest that a cancelled request still takes.
  wait(std::chrono::steady_clock::now() + std::chrono::seconds(10));
}

void InferenceThread::Loop() {
  bool busy = false;
  while (TakeArrivals(busy)) {
    for (const Running& running : running_) {
      if (cancel_all_ || running.ticket->cancelled) engine_->Cancel(running.id);
    }
    busy = engine_->Step();
  }
  for (const Running& running : running_) engine_->Cancel(running.id);
  engine_->Step();
  for (const std::shared_ptr<Ticket>& ticket : arrivals_) ticket->events.Put(CancelledEvent());
}

bool InferenceThread::TakeArrivals(bool busy) {
  std::vector<std::shared_ptr<Ticket>> arrivals;
  {
    std::unique_lock lock(mutex_);
    if (!busy) work_.wait(lock, [&] { return stopping_ || !arrivals_.empty(); });
    if (stopping_) return false;
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
    running_.push_back({ticket, *id});
  } else {  // Submit here has passed the same check before; a request must end in any case
    n_active_.fetch_sub(1);
    ticket->events.Put(CancelledEvent());
  }
}

void InferenceThread::OnEvent(const Ticket* ticket, const GenerateEvent& event) {
  const auto running = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& r) { return r.ticket.get() == ticket; });
  running->ticket->events.Put(event);
  if (!event.finished) return;
  n_active_.fetch_sub(1);
  running_.erase(running);
}

}  // namespace quern
