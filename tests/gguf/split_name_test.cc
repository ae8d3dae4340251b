#include "gguf/split_name.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(SplitName, PartsAndBack) {
  const auto name = ParseSplitName("dir/m-7b-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->prefix, "dir/m-7b");
  EXPECT_EQ(name->number, 2U);
  EXPECT_EQ(name->count, 10U);
  EXPECT_EQ(SplitPath(name->prefix, 10, name->count), "dir/m-7b-00010-of-00010.gguf");
}

TEST(SplitName, OtherNames) {
  for (const char* path :
       {"", "m.gguf", "m-00001-of-00002", "m-00001-of-00002.bin", "m-0001-of-00002.gguf",
        "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m00001-of-00002.gguf",
        "m-00001-OF-00002.gguf", "m-0000x-of-00002.gguf", ".gguf", "-of-00002.gguf"}) {
    EXPECT_FALSE(ParseSplitName(path)) << path;
  }
}

}  // namespace
}  // namespace quern
