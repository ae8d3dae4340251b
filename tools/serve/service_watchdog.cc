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
                                 std::function<std::chrono::steady_clock::duration()> stalled)
    : notifier_(notifier), interval_(interval), stalled_(std::move(stalled)) {
  if (interval_.count() > 0) thread_ = std::thread([this] { Loop(); });
}

ServiceWatchdog::~ServiceWatchdog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ServiceWatchdog::Loop() {
  std::unique_lock lock(mutex_);
  do {
    if (GoesOn(stalled_(), interval_)) notifier_.Alive();
  } while (!wake_.wait_for(lock, interval_ / 2, [this] { return stopping_; }));
}

}  // namespace quern
