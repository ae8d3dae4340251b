#include "runtime/thread_team.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "runtime/worker_pool.h"

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

/// A worker that sleeps needs 50-100 us to wake; one that has not come by then is busy elsewhere.
constexpr std::chrono::microseconds kGatherTime(400);

}  // namespace

/// The state that the members of one Run share.
struct TeamMember::Meeting {
  static constexpr int kClosed = 1 << 30;
  /// Members that have come; kClosed is added when the team is frozen.
  alignas(64) std::atomic<int> roster{1};
  alignas(64) std::atomic<int> waiting{0};
  alignas(64) std::atomic<unsigned> generation{0};

  /// Joins unless the team is frozen; the member's index, or -1.
  int Join() {
    int seen = roster.load(std::memory_order_relaxed);
    while ((seen & kClosed) == 0) {
      if (roster.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return seen;
    }
    return -1;
  }

  /// Waits for `wanted` members, at most kGatherTime, and freezes the team; its size.
  int Close(int wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kGatherTime;
    while (roster.load(std::memory_order_relaxed) < wanted &&
           std::chrono::steady_clock::now() < deadline) {
      Pause();
    }
    return roster.fetch_add(kClosed, std::memory_order_acq_rel);
  }

  int WaitClosed() {
    int seen = 0;
    SpinUntil([&] { return ((seen = roster.load(std::memory_order_acquire)) & kClosed) != 0; });
    return seen - kClosed;
  }
};

void TeamMember::Barrier() {
  if (size_ == 1) return;
  Meeting& meeting = *meeting_;
  const unsigned generation = meeting.generation.load(std::memory_order_relaxed);
  if (meeting.waiting.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    meeting.waiting.store(0, std::memory_order_relaxed);
    meeting.generation.store(generation + 1, std::memory_order_release);
    return;
  }
  SpinUntil([&] { return meeting.generation.load(std::memory_order_acquire) != generation; });
}

ThreadTeam::ThreadTeam(int n_threads)
    : n_threads_(std::max(n_threads, 1)), workers_(std::make_unique<WorkerPool>(n_threads_)) {}

ThreadTeam::~ThreadTeam() = default;

void ThreadTeam::Run(const std::function<void(TeamMember&)>& body) {
  TeamMember::Meeting meeting;
  if (n_threads_ == 1) {
    TeamMember alone(&meeting, 0, 1);
    body(alone);
    return;
  }
  const auto join = [&] {
    const int index = meeting.Join();
    if (index < 0) return;
    TeamMember member(&meeting, index, meeting.WaitClosed());
    body(member);
  };
  const auto lead = [&] {
    TeamMember caller(&meeting, 0, meeting.Close(n_threads_));
    body(caller);
  };
  workers_->Run(join, lead);
}

void ThreadTeam::ForEach(size_t n, const std::function<void(size_t)>& body) {
  std::atomic<size_t> next{0};
  Run([&](TeamMember&) {
    for (size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) body(i);
  });
}

}  // namespace quern
