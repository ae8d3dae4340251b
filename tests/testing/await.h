// Waiting in tests that ends: what does not come fails with its name, where a test would hang.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string_view>
#include <thread>

namespace quern::testing {

/// A time that only a defect takes.
inline constexpr std::chrono::seconds kAwaitDeadline(30);

/// Says what did not come, and ends the test's process: its threads may still wait for it.
[[noreturn]] inline void FailAwaiting(std::string_view what) {
  std::fprintf(stderr, "test failed: awaited for %d s: %.*s\n",
               static_cast<int>(kAwaitDeadline.count()), static_cast<int>(what.size()),
               what.data());
  std::abort();
}

/// Waits until `condition()` holds; `what` is said of one that does not.
template <typename Condition>
void Await(std::string_view what, const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kAwaitDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) FailAwaiting(what);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Waits until a std::future or std::shared_future has its value, and returns it.
template <typename Future>
decltype(auto) AwaitValue(std::string_view what, Future&& future) {
  if (future.wait_for(kAwaitDeadline) != std::future_status::ready) FailAwaiting(what);
  return future.get();
}

}  // namespace quern::testing
