// For how long a thread that has work has made no progress.
#pragma once

#include <chrono>
#include <optional>

namespace quern {

/// Not thread-safe itself. `now` is told by the caller, from one clock.
class StallTimer {
 public:
  using Clock = std::chrono::steady_clock;

  /// There is work to do; it counts from here if there was none.
  void Begin(Clock::time_point now) {
    if (!since_) since_ = now;
  }
  /// The thread has come round to its work.
  void Progress(Clock::time_point now) { since_ = now; }
  /// There is nothing left to do.
  void Rest() { since_.reset(); }

  /// Zero while there is nothing to do.
  Clock::duration Stalled(Clock::time_point now) const {
    return since_ ? now - *since_ : Clock::duration::zero();
  }

 private:
  std::optional<Clock::time_point> since_;
};

}  // namespace quern
