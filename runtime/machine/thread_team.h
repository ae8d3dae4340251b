// A team of threads that run one function together and meet at barriers.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "runtime/machine/cpu_limits.h"  // IWYU pragma: export

namespace quern {

class WorkerPool;

/// One thread's place in a running team. A member that joined late runs the body from its beginning
/// too, passing over what the others have done: until it has caught up, Share gives it nothing and
/// Barrier does not wait.
class TeamMember {
 public:
  int index() const { return index_; }
  /// Members now; more may have joined after the next barrier.
  int size() const { return size_; }
  /// Whether what the body does now was done before this member joined. Work that is handed out by
  /// other means than Share must be passed over then.
  bool is_late() const { return n_missed_ > 0; }

  /// Waits until every member has come here; what they wrote before is visible after.
  void Barrier();

  /// This member's share [first, second) of n items: contiguous.
  std::pair<size_t, size_t> Share(size_t n) const {
    if (is_late()) return {0, 0};
    const auto i = static_cast<size_t>(index_);
    const auto count = static_cast<size_t>(size_);
    return {n * i / count, n * (i + 1) / count};
  }

 private:
  friend class ThreadTeam;
  struct Meeting;
  TeamMember(Meeting* meeting, int index);
  Meeting* meeting_;
  int index_;
  int size_;
  unsigned n_missed_;  ///< barriers that the others passed before it joined, and it has not yet
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
  /// workers come: the team starts with those that did, and others join at a barrier. Results must
  /// not depend on how many there are.
  void Run(const std::function<void(TeamMember&)>& body);

  /// Runs body(i) for each i of [0, n), handed out one by one: for uneven work without barriers. A
  /// body that throws ends its thread's part in it; the first exception is thrown again when all
  /// have ended.
  void ForEach(size_t n, const std::function<void(size_t)>& body);

 private:
  int n_threads_;
  std::unique_ptr<WorkerPool> workers_;
};

}  // namespace quern
