#include "gguf/base/line_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::TempDir;
using testing::WriteFile;

TEST(WordsOf, AreWhatStandsBetweenBlanks) {
  EXPECT_THAT(WordsOf(" a\tb  c\r"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(WordsOf("a"), ElementsAre("a"));
  EXPECT_THAT(WordsOf(" \t"), IsEmpty());
}

TEST(ReadLines, PassesOverBlankLinesAndComments) {
  const TempDir dir;
  const std::string path = dir.File("f");
  WriteFile(path, "one\n\n \t\n# two\n  #three\n four # five \r\nsix");
  std::vector<std::pair<std::string, size_t>> lines;
  ASSERT_TRUE(ReadLines(path, "file", [&](std::string_view line, size_t number) -> Status {
    lines.emplace_back(line, number);
    return {};
  }));
  EXPECT_THAT(lines, ElementsAre(Pair("one", 1), Pair("four # five", 6), Pair("six", 7)));
}

TEST(ReadLines, ErrorsNameFileAndLine) {
  const TempDir dir;
  const std::string path = dir.File("f");
  WriteFile(path, "one\ntwo\nthree\n");
  int taken = 0;
  const Status status = ReadLines(path, "file", [&](std::string_view line, size_t) -> Status {
    ++taken;
    if (line == "two") return Fail(ErrorCode::kInvalidArgument, "bad");
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, path + ", line 2: bad");
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(taken, 2);
}

TEST(ReadLines, ErrorsSayWhatFileItIs) {
  const TempDir dir;
  const auto take = [](std::string_view, size_t) -> Status { return {}; };
  const Status missing = ReadLines(dir.File("none"), "file of lines", take);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("cannot open the file of lines '"));
  const Status folder = ReadLines(dir.path(), "file of lines", take);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
  EXPECT_THAT(folder.error().message, HasSubstr("cannot read the file of lines '"));
}

}  // namespace
}  // namespace quern
