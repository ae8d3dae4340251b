#include "runtime/machine/node_work.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "tests/testing/cpus.h"
#include "tests/testing/memory_nodes.h"

namespace quern {
namespace {

constexpr size_t kPhases = 3;
constexpr std::array<size_t, 2> kSizes = {700, 1000};

/// Node 0's items, and after them node 1's.
std::pair<size_t, size_t> PartOf(size_t node) {
  return node == 0 ? std::pair(size_t{0}, kSizes[0]) : std::pair(kSizes[0], kSizes[0] + kSizes[1]);
}
size_t Shrinking(size_t left) { return left / 10 + 1; }

TEST(NodeWork, EachItemIsTakenOnce) {
  if (testing::AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const MemoryNodes nodes = testing::TwoNodes();
  NodeWork work(&nodes, kPhases);
  for (int round = 0; round < 2; ++round) {
    work.Reset();
    for (size_t phase = 0; phase < kPhases; ++phase) {
      std::vector<std::atomic<int>> taken(kSizes[0] + kSizes[1]);
      std::atomic<int> n_misplaced = 0;
      const auto take_all = [&] {
        while (const auto chunk = work.Take(phase, PartOf, Shrinking)) {
          const auto [first, last] = PartOf(chunk->node);
          if (chunk->begin < first || chunk->end > last) ++n_misplaced;
          for (size_t i = chunk->begin; i < chunk->end; ++i) ++taken[i];
        }
      };
      std::thread other(take_all);
      take_all();
      other.join();
      for (const auto& times : taken) ASSERT_EQ(times, 1);
      EXPECT_EQ(n_misplaced, 0);
    }
  }
}

TEST(NodeWork, TheOwnNodesItemsComeFirst) {
  if (testing::AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const MemoryNodes nodes = testing::TwoNodes();
  for (const size_t node : {0, 1}) {
    const testing::OnCpu on(node == 0 ? testing::AllowedCpus().front()
                                      : testing::AllowedCpus().back());
    NodeWork work(&nodes, 1);
    size_t n_own = 0;
    bool only_own = true;
    while (const auto chunk = work.Take(0, PartOf, Shrinking)) {
      if (chunk->node != node) only_own = false;
      if (only_own) n_own += chunk->end - chunk->begin;
      EXPECT_TRUE(only_own || chunk->node != node);
    }
    EXPECT_EQ(n_own, kSizes[node]);
  }
}

}  // namespace
}  // namespace quern
