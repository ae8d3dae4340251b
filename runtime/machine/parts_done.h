// Counts the finished parts of tasks, so that whoever finishes a task's last part goes on with it.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace quern {

/// Spares a barrier where what comes next needs one task whole, and not all of them.
class PartsDone {
 public:
  explicit PartsDone(size_t n_tasks) : n_done_(n_tasks) {}

  /// Counts `n` of the `total` parts of `task`. True for the one call that makes it whole; what the
  /// threads of the other calls wrote before is then visible, and the count begins anew, for a next
  /// time after a barrier.
  bool Add(size_t task, size_t n, size_t total) {
    std::atomic<size_t>& n_done = n_done_[task];
    if (n_done.fetch_add(n, std::memory_order_acq_rel) + n < total) return false;
    n_done.store(0, std::memory_order_relaxed);
    return true;
  }

 private:
  std::vector<std::atomic<size_t>> n_done_;
};

}  // namespace quern
