// Keeps the service manager's watchdog quiet for as long as the work goes on.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "gguf/base/interval_thread.h"
#include "gguf/base/result.h"
#include "tools/serve/service_notifier.h"

namespace quern {

/// The interval that the manager asks this process for by $WATCHDOG_USEC and $WATCHDOG_PID; zero:
/// it keeps no watchdog. Errors: kInvalidArgument for a value that is not a positive number.
Result<std::chrono::microseconds> WatchdogInterval();

/// Whether work that has made no progress for `stalled` is still taken to go on, seen every half
/// interval. Nothing that takes less than an interval ends the service then, and what hangs ends it
/// within one and a half.
constexpr bool GoesOn(std::chrono::steady_clock::duration stalled,
                      std::chrono::microseconds interval) {
  return stalled < interval / 2;
}

/// A thread that looks every half `interval`, and says so to the manager if the work goes on. Does
/// nothing with an interval of zero.
class ServiceWatchdog {
 public:
  /// `stalled` tells for how long the work has made no progress; it is called from the thread.
  /// `notifier` outlives the watchdog.
  ServiceWatchdog(const ServiceNotifier& notifier, std::chrono::microseconds interval,
                  std::function<std::chrono::steady_clock::duration()> stalled);

 private:
  std::optional<IntervalThread> thread_;
};

}  // namespace quern
