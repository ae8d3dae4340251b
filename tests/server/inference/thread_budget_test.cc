#include "server/inference/thread_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/testing/await.h"

namespace quern {
namespace {

TEST(ThreadBudget, NeverGivesMoreThanThereAre) {
  ThreadBudget budget(4);
  std::atomic<int> n_used{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, n = 1 + i % 3] {
      for (int turn = 0; turn < 500; ++turn) {
        const ThreadBudget::Share share = budget.Take(n);
        const int used = n_used += n;
        int seen = most;
        while (used > seen && !most.compare_exchange_weak(seen, used)) {
        }
        n_used -= n;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 4);
}

TEST(ThreadBudget, MoreThanThereAreIsAll) {
  ThreadBudget budget(2);
  const ThreadBudget::Share share = budget.Take(100);
}

TEST(ThreadBudget, WhoNeedsAllIsNotPassedByOthers) {
  ThreadBudget budget(2);
  std::atomic<bool> has_all{false};
  std::vector<std::thread> threads;
  {
    const ThreadBudget::Share one = budget.Take(1);
    threads.emplace_back([&] {
      const ThreadBudget::Share all = budget.Take(2);
      has_all = true;
    });
    testing::Await("one that waits", [&] { return budget.n_waiting() == 1; });
    threads.emplace_back([&] {
      const ThreadBudget::Share other = budget.Take(1);
      EXPECT_TRUE(has_all);
    });
    testing::Await("two that wait", [&] { return budget.n_waiting() == 2; });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace quern
