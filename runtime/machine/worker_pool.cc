// The thread sanitizer does not instrument this file: oneTBB's library comes from the system and is
// not instrumented either, so of its hand-overs one half would be seen and reported as races. What
// they guarantee is told to the sanitizer below.
#include "runtime/machine/worker_pool.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <optional>

#ifdef QUERN_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void* address);  // NOLINT(bugprone-reserved-identifier)
void __tsan_release(void* address);  // NOLINT(bugprone-reserved-identifier)
}
#endif

namespace quern {
namespace {

/// What came before Release(x) on one thread is visible after a later Acquire(x) on another.
void Release([[maybe_unused]] void* address) {
#ifdef QUERN_THREAD_SANITIZER
  __tsan_release(address);
#endif
}

void Acquire([[maybe_unused]] void* address) {
#ifdef QUERN_THREAD_SANITIZER
  __tsan_acquire(address);
#endif
}

}  // namespace

struct WorkerPool::Impl {
  explicit Impl(int n_threads) : arena(n_threads) {
    // oneTBB starts no more workers than there are CPUs unless it is told that more are wanted.
    if (n_threads > tbb::this_task_arena::max_concurrency()) {
      more_workers.emplace(tbb::global_control::max_allowed_parallelism,
                           static_cast<size_t>(n_threads));
    }
  }
  std::optional<tbb::global_control> more_workers;
  tbb::task_arena arena;
};

WorkerPool::WorkerPool(int n_threads)
    : n_threads_(n_threads), impl_(std::make_unique<Impl>(n_threads)) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::Run(const std::function<void()>& task, const std::function<void()>& own) {
  impl_->arena.execute([&] {
    tbb::task_group workers;
    char start = 0;
    char end = 0;
    Release(&start);
    for (int i = 1; i < n_threads_; ++i) {
      workers.run([&] {
        Acquire(&start);
        task();
        Release(&end);
      });
    }
    own();
    workers.wait();
    Acquire(&end);
  });
}

}  // namespace quern
