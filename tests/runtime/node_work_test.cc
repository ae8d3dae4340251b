#include "runtime/node_work.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/testing/memory_nodes.h"

namespace quern {
namespace {

constexpr size_t kPhases = 3;
constexpr std::array<size_t, 2> kSizes = {700, 1000};

size_t SizeOf(size_t node) { return kSizes[node]; }
size_t Shrinking(size_t left) { return left / 10 + 1; }

TEST(NodeWork, EachItemIsTakenOnce) {
  if (testing::AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const MemoryNodes nodes = testing::TwoNodes();
  NodeWork work(&nodes, kPhases);
  for (int round = 0; round < 2; ++round) {
    work.Reset();
    for (size_t phase = 0; phase < kPhases; ++phase) {
      std::array<std::vector<std::atomic<int>>, 2> taken = {
          std::vector<std::atomic<int>>(kSizes[0]), std::vector<std::atomic<int>>(kSizes[1])};
      const auto take_all = [&] {
        while (const auto chunk = work.Take(phase, SizeOf, Shrinking)) {
          for (size_t i = chunk->begin; i < chunk->end; ++i) ++taken[chunk->node][i];
        }
      };
      std::thread other(take_all);
      take_all();
      other.join();
      for (const auto& of_node : taken) {
        for (const auto& times : of_node) ASSERT_EQ(times, 1);
      }
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
    while (const auto chunk = work.Take(0, SizeOf, Shrinking)) {
      if (chunk->node != node) only_own = false;
      if (only_own) n_own += chunk->end - chunk->begin;
      EXPECT_TRUE(only_own || chunk->node != node);
    }
    EXPECT_EQ(n_own, kSizes[node]);
  }
}

}  // namespace
}  // namespace quern
