#include "runtime/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace quern {
namespace {

class ThreadTeamTest : public testing::TestWithParam<int> {};

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
      size = member.size();
      for (int round = 1; round <= 20; ++round) {
        written[static_cast<size_t>(member.index())] = round;
        member.Barrier();
        for (int i = 0; i < member.size(); ++i) {
          if (written[static_cast<size_t>(i)] != round) wrong.fetch_add(1);
        }
        member.Barrier();
      }
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

INSTANTIATE_TEST_SUITE_P(Threads, ThreadTeamTest, testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace quern
