#include "gguf/base/interval_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "tests/testing/await.h"

namespace quern {
namespace {

using First = IntervalThread::First;

TEST(IntervalThread, WorksAgainAndAgain) {
  for (const First first : {First::kAtOnce, First::kAfterInterval}) {
    std::atomic<int> n{0};
    const IntervalThread thread(std::chrono::milliseconds(1), first, [&] { ++n; });
    testing::Await("three calls", [&] { return n >= 3; });
  }
}

TEST(IntervalThread, TheFirstCallComesAtOnceOrNot) {
  std::atomic<int> n_at_once{0};
  std::atomic<int> n_later{0};
  {
    const IntervalThread later(std::chrono::hours(1), First::kAfterInterval, [&] { ++n_later; });
    const IntervalThread at_once(std::chrono::hours(1), First::kAtOnce, [&] { ++n_at_once; });
    testing::Await("a call", [&] { return n_at_once > 0; });
  }
  EXPECT_EQ(n_at_once, 1);
  EXPECT_EQ(n_later, 0);
}

}  // namespace
}  // namespace quern
