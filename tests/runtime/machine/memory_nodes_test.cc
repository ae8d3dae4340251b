#include "runtime/machine/memory_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/testing/cpus.h"
#include "tests/testing/memory_nodes.h"

namespace quern {
namespace {

using testing::AllowedCpus;
using testing::NodesOf;
using testing::OnCpu;
using ::testing::Pair;

TEST(MemoryNodes, WithoutNewsThereIsOne) {
  for (const MemoryNodes& nodes :
       {MemoryNodes(), NodesOf({}), NodesOf({"0-1023"}), NodesOf({"", "x"})}) {
    EXPECT_EQ(nodes.size(), 1);
    EXPECT_EQ(nodes.Current(), 0);
    EXPECT_THAT(nodes.Share(7, 0, 2), Pair(0, 7));
  }
}

TEST(MemoryNodes, ThisMachinesAreFound) {
  const MemoryNodes nodes = MemoryNodes::OfMachine();
  EXPECT_GE(nodes.size(), 1);
  EXPECT_LT(nodes.Current(), nodes.size());
}

TEST(MemoryNodes, NodesWithoutAnAllowedCpuDoNotCount) {
  const std::string cpu = std::to_string(AllowedCpus().front());
  EXPECT_EQ(NodesOf({cpu, "1023", ""}).size(), 1);
}

TEST(MemoryNodes, AThreadIsOnTheNodeOfItsCpu) {
  if (AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const MemoryNodes nodes = testing::TwoNodes();
  ASSERT_EQ(nodes.size(), 2);
  {
    const OnCpu on(AllowedCpus().front());
    EXPECT_EQ(nodes.Current(), 0);
  }
  const OnCpu on(AllowedCpus().back());
  EXPECT_EQ(nodes.Current(), 1);
}

TEST(MemoryNodes, SharesFollowTheCpusAndCoverAll) {
  if (AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const MemoryNodes nodes = testing::TwoNodes();
  const size_t n_cpus = AllowedCpus().size();
  for (const size_t n : {0, 1, 2, 3, 9, 100, 4097}) {
    const auto [begin, border] = nodes.Share(n, 0, 2);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(border, n / 2 / n_cpus * 2) << n;
    EXPECT_THAT(nodes.Share(n, 1, 2), Pair(border, n));
  }
}

}  // namespace
}  // namespace quern
