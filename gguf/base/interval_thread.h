// A thread that does something again and again, with a time between, until it is ended.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace quern {

class IntervalThread {
 public:
  enum class First : uint8_t { kAtOnce, kAfterInterval };

  /// `work` is called from the thread, which waits `interval` between the end of one call and the
  /// beginning of the next.
  IntervalThread(std::chrono::microseconds interval, First first, std::function<void()> work);
  /// Waits for a call under way, and for no more.
  ~IntervalThread();
  IntervalThread(const IntervalThread&) = delete;
  IntervalThread& operator=(const IntervalThread&) = delete;

 private:
  void Loop(First first);
  /// False when it is ended meanwhile.
  bool Wait();

  const std::chrono::microseconds interval_;
  const std::function<void()> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_ending_ = false;  ///< under mutex_
  std::thread thread_;
};

}  // namespace quern
