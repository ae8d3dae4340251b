// The way of answers from the inference thread to the HTTP thread that writes them out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

#include "runtime/engine/generate.h"

namespace quern {

/// An event of one of a request's answers.
struct AnswerEvent {
  size_t index;  ///< of the answer
  GenerateEvent event;
};

/// A queue of events: the inference thread puts, one HTTP thread takes. Putting never blocks, so a
/// slow reader holds nobody up; its length is bounded by the tokens that the request may generate.
class EventQueue {
 public:
  void Put(AnswerEvent event);

  /// The next event, or nothing when none came within `patience`.
  std::optional<AnswerEvent> Take(std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<AnswerEvent> events_;
};

}  // namespace quern
