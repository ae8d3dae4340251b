#include "gguf/mapped_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <utility>

#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

TEST(MappedFile, AnObjectMovedFromMapsNothing) {
  const ::quern::testing::TempDir dir;
  std::ofstream(dir.File("a")) << "aa";
  std::ofstream(dir.File("b")) << "bbb";
  MappedFile a = MappedFile::Open(dir.File("a")).value();
  MappedFile b = MappedFile::Open(dir.File("b")).value();
  const std::byte* data = b.bytes().data();
  a = std::move(b);
  EXPECT_EQ(a.bytes().data(), data);
  EXPECT_EQ(a.bytes().size(), 3U);
  EXPECT_TRUE(b.bytes().empty());  // NOLINT(bugprone-use-after-move): the documented state
  const MappedFile c(std::move(a));
  EXPECT_EQ(c.bytes().data(), data);
  EXPECT_TRUE(a.bytes().empty());  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace quern
