#include "server/inference/thread_budget.h"

#include <algorithm>

namespace quern {

ThreadBudget::Share ThreadBudget::Take(int n) {
  n = std::min(n, n_threads_);
  std::unique_lock lock(mutex_);
  const uint64_t turn = n_came_++;
  changed_.wait(lock, [&] { return turn == n_had_turn_ && n_free_ >= n; });
  n_free_ -= n;
  ++n_had_turn_;
  changed_.notify_all();
  return {this, n};
}

uint64_t ThreadBudget::n_waiting() const {
  const std::lock_guard lock(mutex_);
  return n_came_ - n_had_turn_;
}

void ThreadBudget::GiveBack(int n) {
  {
    const std::lock_guard lock(mutex_);
    n_free_ += n;
  }
  changed_.notify_all();
}

}  // namespace quern
