// A team of threads that run one function together and meet at barriers.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "runtime/cpu_limits.h"  // IWYU pragma: export

namespace quern {

class WorkerPool;

/// One thread's place in a running team.
class TeamMember {
 public:
  int index() const { return index_; }
  int size() const { return size_; }

  /// Waits until every member has come here; what they wrote before is visible after.
  void Barrier();

  /// This member's share [first, second) of n items: contiguous, and the same for the same n and
  /// team size.
  std::pair<size_t, size_t> Share(size_t n) const {
    const auto i = static_cast<size_t>(index_);
    const auto count = static_cast<size_t>(size_);
    return {n * i / count, n * (i + 1) / count};
  }

 private:
  friend class ThreadTeam;
  struct Meeting;
  TeamMember(Meeting* meeting, int index, int size)
      : meeting_(meeting), index_(index), size_(size) {}
  Meeting* meeting_;
  int index_;
  int size_;
};

/// Not thread-safe itself: one thread at a time calls Run.
class ThreadTeam {
 public:
  /// `n_threads` at least 1, the calling thread included.
  explicit ThreadTeam(int n_threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int n_threads() const { return n_threads_; }

  /// Runs `body` on every member at once and returns when all are done. Nothing promises that
  /// workers come, so the team is frozen at start from the workers that came; it may be smaller
  /// than n_threads, and results must not depend on it.
  void Run(const std::function<void(TeamMember&)>& body);

  /// Runs body(i) for each i of [0, n), handed out one by one: for uneven work without barriers.
  void ForEach(size_t n, const std::function<void(size_t)>& body);

 private:
  int n_threads_;
  std::unique_ptr<WorkerPool> workers_;
};

}  // namespace quern
