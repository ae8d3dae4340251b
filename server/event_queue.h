// The way of one answer from the inference thread to the HTTP thread that writes it out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "runtime/engine.h"

namespace quern {

/// A queue of events: the inference thread puts, one HTTP thread takes. Putting never blocks, so a
/// slow reader holds nobody up; its length is bounded by the tokens that the request may generate.
class EventQueue {
 public:
  void Put(GenerateEvent event);

  /// The next event, or nothing when none came within `patience`.
  std::optional<GenerateEvent> Take(std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<GenerateEvent> events_;
};

}  // namespace quern
