#include "runtime/machine/parts_done.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace quern {
namespace {

TEST(PartsDone, TellsWhoMakesATaskWholeAndBeginsAnew) {
  PartsDone parts(2);
  for (int round = 0; round < 2; ++round) {
    EXPECT_FALSE(parts.Add(0, 3, 8));
    EXPECT_FALSE(parts.Add(1, 1, 2));
    EXPECT_FALSE(parts.Add(0, 4, 8));
    EXPECT_TRUE(parts.Add(0, 1, 8));
    EXPECT_TRUE(parts.Add(1, 1, 2));
    EXPECT_TRUE(parts.Add(1, 2, 2));
  }
}

TEST(PartsDone, OneThreadFinishesAndSeesWhatAllWrote) {
  constexpr size_t kTasks = 1000;
  constexpr size_t kThreads = 4;
  PartsDone parts(kTasks);
  std::vector<size_t> written(kTasks * kThreads);
  std::vector<size_t> sums(kTasks);
  std::atomic<size_t> n_finished = 0;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (size_t task = 0; task < kTasks; ++task) {
        written[task * kThreads + i] = task + i;
        if (!parts.Add(task, 1, kThreads)) continue;
        for (size_t j = 0; j < kThreads; ++j) sums[task] += written[task * kThreads + j];
        ++n_finished;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_finished, kTasks);
  for (size_t task = 0; task < kTasks; ++task) ASSERT_EQ(sums[task], 4 * task + 6);
}

}  // namespace
}  // namespace quern
