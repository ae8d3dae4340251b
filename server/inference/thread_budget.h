// CPU threads that the steps of several models share, so that models take turns rather than slow
// each other down: a team waits for its slowest thread, which a busy CPU may leave out for long.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace quern {

class ThreadBudget {
 public:
  explicit ThreadBudget(int n_threads) : n_threads_(n_threads), n_free_(n_threads) {}

  /// Threads taken, until it goes.
  class Share {
   public:
    Share(ThreadBudget* budget, int n) : budget_(budget), n_(n) {}
    ~Share() { budget_->GiveBack(n_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    ThreadBudget* budget_;
    int n_;
  };

  /// Waits until `n` threads are free, or all where `n` is more; who comes first is served first.
  [[nodiscard]] Share Take(int n);

  /// Calls of Take that wait.
  uint64_t n_waiting() const;

 private:
  void GiveBack(int n);

  const int n_threads_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int n_free_;               ///< under mutex_
  uint64_t n_came_ = 0;      ///< under mutex_
  uint64_t n_had_turn_ = 0;  ///< under mutex_
};

}  // namespace quern
