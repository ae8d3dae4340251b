#include "tools/text_table.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(TextTable, AlignsColumnsByCharacters) {
  TextTable table({TextTable::Align::kLeft, TextTable::Align::kRight, TextTable::Align::kLeft});
  table.AddRow({"\xc3\xa9", "7", "x"});
  table.AddRow({"abc", "12", ""});
  EXPECT_EQ(table.Format(),
            "  \xc3\xa9      7   x\n"
            "  abc   12\n");
}

TEST(FormatBytes, ThreeDigitsOfTheLargestUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(10 << 20), "10.0 MiB");
  EXPECT_EQ(FormatBytes(4920739232), "4.58 GiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16777216 TiB");
}

TEST(FormatCount, ThreeDigitsOfTheLargestUnit) {
  EXPECT_EQ(FormatCount(512), "512");
  EXPECT_EQ(FormatCount(5508352), "5.51 M");
  EXPECT_EQ(FormatCount(8030261312), "8.03 B");
  EXPECT_EQ(FormatCount(999999), "1.00 M");
}

TEST(FormatThousands, SeparatesGroups) {
  EXPECT_EQ(FormatThousands(0), "0");
  EXPECT_EQ(FormatThousands(999), "999");
  EXPECT_EQ(FormatThousands(1000), "1,000");
  EXPECT_EQ(FormatThousands(18446744073709551615ULL), "18,446,744,073,709,551,615");
}

}  // namespace
}  // namespace quern
