#include "tools/hub/partial_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using testing::ReadFile;
using testing::WriteFile;

const FileIdentity kIdentity = {.size = 10, .sha256 = "abc", .etag = "\"x\""};

class PartialFileTest : public ::testing::Test {
 protected:
  Status Write(PartialFile& file, uint64_t offset, std::string_view text) {
    return file.Write(offset, std::as_bytes(std::span(text)));
  }
  /// What a process leaves that wrote five bytes.
  void LeaveHalf(const FileIdentity& identity = kIdentity) {
    PartialFile file = PartialFile::Open(path_, identity).value();
    ASSERT_TRUE(Write(file, 2, "cdefg"));
  }
  uint64_t DoneAfterOpen(const FileIdentity& identity) {
    return PartialFile::Open(path_, identity).value().n_done();
  }

  testing::TempDir folder_;
  std::string path_ = folder_.File("model.gguf");
};

TEST_F(PartialFileTest, GoesOnWhereItStopped) {
  LeaveHalf();
  EXPECT_EQ(PartialFile::ExtentAt(path_).n_done, 5);
  PartialFile file = PartialFile::Open(path_, kIdentity).value();
  EXPECT_THAT(file.Missing(100), ElementsAre(ByteRange{0, 2}, ByteRange{7, 10}));
  ASSERT_TRUE(Write(file, 7, "hij"));
  ASSERT_TRUE(Write(file, 0, "ab"));
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(file.Commit());
  EXPECT_EQ(ReadFile(path_), "abcdefghij");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(PartialFileTest, OtherContentsBeginAnew) {
  LeaveHalf();
  EXPECT_EQ(DoneAfterOpen({.size = 10, .sha256 = "abc", .etag = "\"y\""}), 5);
  EXPECT_EQ(DoneAfterOpen({.size = 10, .sha256 = "abd", .etag = "\"x\""}), 0);
  LeaveHalf();
  EXPECT_EQ(DoneAfterOpen({.size = 11, .sha256 = "abc", .etag = "\"x\""}), 0);
  const FileIdentity without_hash = {.size = 10, .sha256 = "", .etag = "\"x\""};
  LeaveHalf(without_hash);
  EXPECT_EQ(DoneAfterOpen(without_hash), 5);
  EXPECT_EQ(DoneAfterOpen({.size = 10, .sha256 = "", .etag = "\"y\""}), 0);
  const FileIdentity unknown = {.size = 10, .sha256 = "", .etag = ""};
  LeaveHalf(unknown);
  EXPECT_EQ(DoneAfterOpen(unknown), 0);
}

TEST_F(PartialFileTest, ABrokenStateBeginsAnew) {
  for (const char* state :
       {"", "{", "[]", "{}", R"({"size":10,"sha256":"abc","etag":"x"})",
        R"({"size":-1,"sha256":"abc","etag":"x","done":[[0,99]]})",
        R"({"size":10,"sha256":"abc","etag":"x","done":[[0]]})",
        R"({"size":10,"sha256":"abc","etag":"x","done":[["a",{}]]})",
        R"({"size":10,"sha256":"abc","etag":"x","done":[[0,11]]})",
        R"({"size":10,"sha256":"abc","etag":"x","done":[[0,8]]})"}) {  // of 7 that are there
    LeaveHalf();
    WriteFile(path_ + ".partial.json", state);
    EXPECT_EQ(PartialFile::ExtentAt(path_).n_done, 0) << state;
    EXPECT_EQ(DoneAfterOpen(kIdentity), 0) << state;
  }
}

TEST_F(PartialFileTest, IsRemovedOrDiscarded) {
  LeaveHalf();
  EXPECT_TRUE(PartialFile::RemoveAt(path_));
  EXPECT_FALSE(PartialFile::RemoveAt(path_));
  PartialFile::Open(path_, kIdentity).value().Discard();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace quern
