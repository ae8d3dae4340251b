#include "server/event_queue.h"

#include <utility>

namespace quern {

void EventQueue::Put(GenerateEvent event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  arrived_.notify_one();
}

std::optional<GenerateEvent> EventQueue::Take(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!arrived_.wait_for(lock, patience, [&] { return !events_.empty(); })) return std::nullopt;
  GenerateEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace quern
