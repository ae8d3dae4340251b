#include "tools/hub/byte_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ByteRanges, TouchingOnesBecomeOne) {
  ByteRanges ranges;
  ranges.Add({10, 20});
  ranges.Add({30, 40});
  ranges.Add({5, 5});
  EXPECT_THAT(ranges.ranges(), ElementsAre(ByteRange{10, 20}, ByteRange{30, 40}));
  ranges.Add({20, 30});
  EXPECT_THAT(ranges.ranges(), ElementsAre(ByteRange{10, 40}));
  EXPECT_EQ(ranges.n_bytes(), 30);
}

TEST(ByteRanges, MissingComesInPieces) {
  ByteRanges ranges;
  ranges.Add({10, 20});
  EXPECT_THAT(ranges.Missing(35, 8),
              ElementsAre(ByteRange{0, 8}, ByteRange{8, 10}, ByteRange{20, 28}, ByteRange{28, 35}));
  ranges.Add({0, 100});
  EXPECT_THAT(ranges.Missing(35, 8), IsEmpty());
}

TEST(ByteRanges, AgreesWithASetOfPositions) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    ByteRanges ranges;
    std::vector<bool> is_there(64, false);
    for (int i = 0; i < 12; ++i) {
      const uint64_t begin = random() % 64;
      const uint64_t end = begin + random() % (65 - begin);
      ranges.Add({begin, end});
      for (uint64_t at = begin; at < end; ++at) is_there[at] = true;
    }
    std::vector<bool> found(64, false);
    uint64_t last_end = 0;
    for (const ByteRange& range : ranges.ranges()) {
      EXPECT_TRUE(range.begin > last_end || last_end == 0);
      last_end = range.end;
      for (uint64_t at = range.begin; at < range.end; ++at) found[at] = true;
    }
    EXPECT_EQ(found, is_there);
    for (const ByteRange& range : ranges.Missing(64, 7)) {
      EXPECT_LE(range.size(), 7);
      for (uint64_t at = range.begin; at < range.end; ++at) {
        EXPECT_FALSE(found[at]);
        found[at] = true;
      }
    }
    EXPECT_EQ(found, std::vector<bool>(64, true));
  }
}

}  // namespace
}  // namespace quern
