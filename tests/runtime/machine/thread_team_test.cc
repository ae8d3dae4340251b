#include "runtime/machine/thread_team.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <thread>
#include <vector>

#include "tests/testing/await.h"

namespace quern {
namespace {

class ThreadTeamTest : public ::testing::TestWithParam<int> {};

/// Workers that are busy elsewhere do not come, so a test that needs the whole team tries again.
constexpr int kMostRuns = 5000;
constexpr int kWholeRuns = 3;

TEST_P(ThreadTeamTest, BarrierMakesEarlierWritesVisible) {
  ThreadTeam team(GetParam());
  int n_whole = 0;
  for (int run = 0; run < kMostRuns && n_whole < kWholeRuns; ++run) {
    std::vector<int> written(static_cast<size_t>(GetParam()), 0);
    std::atomic<int> wrong{0};
    std::atomic<int> size{0};
    team.Run([&](TeamMember& member) {
      for (int round = 1; round <= 20; ++round) {
        const int n_writers = member.is_late() ? 0 : member.size();
        if (n_writers > 0) written[static_cast<size_t>(member.index())] = round;
        member.Barrier();
        for (int i = 0; i < n_writers; ++i) {
          if (written[static_cast<size_t>(i)] != round) wrong.fetch_add(1);
        }
        member.Barrier();
      }
      size = member.size();
    });
    ASSERT_EQ(wrong.load(), 0);
    if (size == GetParam()) ++n_whole;
  }
  EXPECT_EQ(n_whole, kWholeRuns);
}

TEST_P(ThreadTeamTest, SharesCoverEverythingOnce) {
  ThreadTeam team(GetParam());
  for (const size_t n : {0U, 1U, 2U, 7U, 100U}) {
    std::vector<std::atomic<int>> seen(n);
    team.Run([&](TeamMember& member) {
      const auto [begin, end] = member.Share(n);
      for (size_t i = begin; i < end; ++i) seen[i].fetch_add(1);
    });
    for (const std::atomic<int>& count : seen) EXPECT_EQ(count.load(), 1);
  }
}

TEST_P(ThreadTeamTest, ForEachRunsEachItemOnce) {
  ThreadTeam team(GetParam());
  std::vector<std::atomic<int>> seen(1000);
  team.ForEach(seen.size(), [&](size_t i) { seen[i].fetch_add(1); });
  for (const std::atomic<int>& count : seen) EXPECT_EQ(count.load(), 1);
}

TEST_P(ThreadTeamTest, ForEachThrowsWhatABodyThrew) {
  ThreadTeam team(GetParam());
  std::atomic<int> n_run = 0;
  EXPECT_THROW(team.ForEach(100,
                            [&](size_t i) {
                              ++n_run;
                              if (i == 50) throw std::bad_alloc();
                            }),
               std::bad_alloc);
  EXPECT_GE(n_run, 51);
  team.ForEach(10, [&](size_t) { ++n_run; });
  EXPECT_GE(n_run, 61);
}

TEST(ThreadTeam, AWorkerThatComesLateJoinsAtABarrier) {
  // Another team has all workers until the body has begun without them.
  const int n_cpus = std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
  std::atomic<int> n_busy{0};
  std::atomic<bool> released{false};
  std::thread other([&] {
    ThreadTeam team(n_cpus);
    team.ForEach(static_cast<size_t>(n_cpus), [&](size_t) {
      n_busy.fetch_add(1);
      testing::Await("the release", [&] { return released.load(); });
    });
  });
  testing::Await("all workers at work", [&] { return n_busy == n_cpus; });

  constexpr size_t kItems = 7;
  constexpr size_t kMostRounds = 10000;
  std::vector<std::atomic<int>> done(kMostRounds);
  std::atomic<size_t> last_round{kMostRounds - 1};
  std::atomic<int> size_at_start{0};
  std::atomic<int> wrong{0};
  ThreadTeam team(2);
  team.Run([&](TeamMember& member) {
    for (size_t round = 0; round <= last_round; ++round) {
      const auto [begin, end] = member.Share(kItems);
      done[round].fetch_add(static_cast<int>(end - begin));
      if (member.index() == 0) {
        if (round == 0) size_at_start = member.size();
        if (round == 1) released = true;
        if (round > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (member.size() == 2 && last_round == kMostRounds - 1) last_round = round + 3;
      }
      member.Barrier();
      if (!member.is_late() && done[round] != kItems) wrong.fetch_add(1);
      member.Barrier();
    }
  });
  other.join();
  EXPECT_EQ(size_at_start, 1);
  EXPECT_LT(last_round, kMostRounds - 1) << "the worker has joined";
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadTeamTest, ::testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace quern
