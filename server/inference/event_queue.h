// The way of events from the inference thread to the HTTP thread that writes them out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "runtime/engine/embed.h"
#include "runtime/engine/generate.h"

namespace quern {

/// An event of one of the requests that share a queue.
template <typename Event>
struct IndexedEvent {
  size_t index;  ///< of the request
  Event event;
};

/// The inference thread puts, one HTTP thread takes. Putting never blocks, so a slow reader holds
/// nobody up; the length is bounded by the tokens that the requests may generate.
template <typename Event>
class EventQueue {
 public:
  void Put(IndexedEvent<Event> event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    arrived_.notify_one();
  }

  /// The next event, or nothing when none came within `timeout`.
  std::optional<IndexedEvent<Event>> Take(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, timeout, [&] { return !events_.empty(); })) return std::nullopt;
    IndexedEvent<Event> event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<IndexedEvent<Event>> events_;
};

using GenerateQueue = EventQueue<GenerateEvent>;
using EmbedQueue = EventQueue<Embedding>;

}  // namespace quern
