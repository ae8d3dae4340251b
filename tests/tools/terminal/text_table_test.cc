#include "tools/terminal/text_table.h"

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

}  // namespace
}  // namespace quern
