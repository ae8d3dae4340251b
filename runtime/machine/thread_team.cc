#include "runtime/machine/thread_team.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/machine/worker_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace quern {
namespace {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits for `done()`: spins while the others are likely running, then gives the core away, for
/// machines with fewer free cores than threads. 4096 pauses are 40-150 us on current x86 cores,
/// longer than any imbalance within a step.
template <typename Done>
void SpinUntil(const Done& done) {
  constexpr int kSpins = 4096;
  for (int i = 0; !done(); ++i) {
    if (i < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

/// A worker that sleeps needs 50-100 us to wake. One that has not come by then is busy elsewhere,
/// and joins at a barrier.
constexpr std::chrono::microseconds kGatherTime(200);

}  // namespace

/// The state that the members of one Run share.
struct TeamMember::Meeting {
  /// Workers that have come, the caller included; kClosed is added when the body is done.
  static constexpr int kClosed = 1 << 30;
  alignas(64) std::atomic<int> roster{1};
  alignas(64) std::atomic<int> waiting{0};
  /// Barriers passed, and in the lower half the members of the team. It does not change again
  /// before a member that it counts has come to the next barrier.
  alignas(64) std::atomic<uint64_t> state{1};

  static unsigned NPassed(uint64_t state) { return static_cast<unsigned>(state >> 32U); }
  static int Size(uint64_t state) { return static_cast<int>(state & 0xFFFFFFFFU); }

  /// Puts a worker on the roster unless the body is done; its index, or -1.
  int Join() {
    int seen = roster.load(std::memory_order_relaxed);
    while ((seen & kClosed) == 0) {
      if (roster.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return seen;
    }
    return -1;
  }

  /// Waits for `wanted` members, at most kGatherTime, and starts with those that came.
  void Gather(int wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kGatherTime;
    int seen = 0;
    while ((seen = roster.load(std::memory_order_acquire)) < wanted &&
           std::chrono::steady_clock::now() < deadline) {
      Pause();
    }
    Admit(0, seen);
  }

  /// Waits until the member is on the team; false if the body was done before.
  bool WaitAdmitted(int index) {
    const auto is_admitted = [&] { return Size(state.load(std::memory_order_acquire)) > index; };
    bool is_closed = false;
    SpinUntil([&] {
      is_closed = (roster.load(std::memory_order_acquire) & kClosed) != 0;
      return is_closed || is_admitted();
    });
    return is_admitted();
  }

  void Admit(unsigned n_passed, int size) {
    state.store(uint64_t{n_passed} << 32U | static_cast<uint64_t>(size), std::memory_order_release);
  }
};

TeamMember::TeamMember(Meeting* meeting, int index) : meeting_(meeting), index_(index) {
  const uint64_t state = meeting->state.load(std::memory_order_acquire);
  size_ = Meeting::Size(state);
  n_missed_ = Meeting::NPassed(state);
}

void TeamMember::Barrier() {
  if (n_missed_ > 0) {
    --n_missed_;
    return;
  }
  Meeting& meeting = *meeting_;
  const uint64_t before = meeting.state.load(std::memory_order_relaxed);
  if (meeting.waiting.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    meeting.waiting.store(0, std::memory_order_relaxed);
    size_ = meeting.roster.load(std::memory_order_acquire);
    meeting.Admit(Meeting::NPassed(before) + 1, size_);
    return;
  }
  uint64_t now = before;
  SpinUntil([&] { return (now = meeting.state.load(std::memory_order_acquire)) != before; });
  size_ = Meeting::Size(now);
}

ThreadTeam::ThreadTeam(int n_threads)
    : n_threads_(std::max(n_threads, 1)), workers_(std::make_unique<WorkerPool>(n_threads_)) {}

ThreadTeam::~ThreadTeam() = default;

void ThreadTeam::Run(const std::function<void(TeamMember&)>& body) {
  TeamMember::Meeting meeting;
  const auto join = [&] {
    const int index = meeting.Join();
    if (index < 0 || !meeting.WaitAdmitted(index)) return;
    TeamMember member(&meeting, index);
    body(member);
  };
  const auto lead = [&] {
    meeting.Gather(n_threads_);
    TeamMember member(&meeting, 0);
    body(member);
    meeting.roster.fetch_add(TeamMember::Meeting::kClosed, std::memory_order_acq_rel);
  };
  workers_->Run(join, lead);
}

void ThreadTeam::ForEach(size_t n, const std::function<void(size_t)>& body) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr first;  // under mutex
  const auto work = [&] {
    try {
      for (size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (first == nullptr) first = std::current_exception();
    }
  };
  workers_->Run(work, work);
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace quern
