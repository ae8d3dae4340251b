// The only place that knows oneTBB: tasks for a number of worker threads.
#pragma once

#include <functional>
#include <memory>

namespace quern {

/// Not thread-safe itself: one thread at a time calls Run.
class WorkerPool {
 public:
  /// `n_threads` at least 1, the calling thread included.
  explicit WorkerPool(int n_threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Calls `task` n_threads - 1 times, on other threads where they come in time, and `own` on this
  /// one; returns when all are done. oneTBB does not promise that any two run at once.
  void Run(const std::function<void()>& task, const std::function<void()>& own);

 private:
  struct Impl;
  int n_threads_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
