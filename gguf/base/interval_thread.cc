#include "gguf/base/interval_thread.h"

#include <utility>

namespace quern {

IntervalThread::IntervalThread(std::chrono::microseconds interval, First first,
                               std::function<void()> work)
    : interval_(interval), work_(std::move(work)), thread_([this, first] { Loop(first); }) {}

IntervalThread::~IntervalThread() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void IntervalThread::Loop(First first) {
  if (first == First::kAtOnce) work_();
  while (Wait()) work_();
}

bool IntervalThread::Wait() {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, interval_, [this] { return is_ending_; });
}

}  // namespace quern
