#include "tools/serve/service_watchdog.h"

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "gguf/base/parse_number.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

/// The variable's value; 0 where it is not set.
Result<int64_t> PositiveVariable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return 0;
  const auto number = ParseNumber<int64_t>(value);
  if (!number || *number <= 0) {
    return Fail(ErrorCode::kInvalidArgument, "{} is {}, expected a positive number", name,
                Quoted(value));
  }
  return *number;
}

}  // namespace

Result<std::chrono::microseconds> WatchdogInterval() {
  Result<int64_t> pid = PositiveVariable("WATCHDOG_PID");
  if (!pid) return Propagate(pid);
  if (*pid != 0 && *pid != getpid()) return std::chrono::microseconds::zero();
  Result<int64_t> interval = PositiveVariable("WATCHDOG_USEC");
  if (!interval) return Propagate(interval);
  return std::chrono::microseconds(*interval);
}

ServiceWatchdog::ServiceWatchdog(const ServiceNotifier& notifier,
                                 std::chrono::microseconds interval,
                                 std::function<std::chrono::steady_clock::duration()> stalled) {
  if (interval.count() == 0) return;
  thread_.emplace(interval / 2, IntervalThread::First::kAtOnce,
                  [&notifier, interval, stalled = std::move(stalled)] {
                    if (GoesOn(stalled(), interval)) notifier.Alive();
                  });
}

}  // namespace quern
