#include "server/access/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadFile;
using testing::TempDir;
using testing::WriteFile;

class KeyFile : public ::testing::Test {
 protected:
  Result<std::vector<ApiKey>> Read(const std::string& content) {
    WriteFile(path_, content);
    return ReadKeyFile(path_);
  }
  TempDir dir_;
  std::string path_ = dir_.File("keys");
};

TEST_F(KeyFile, HasAKeyALine) {
  const std::string named = ApiKey::Create("alice", "four").value().Line();
  const std::vector<ApiKey> keys =
      Read("one\n\n# two\n  three \r\nfo#ur\n " + named + " rate=5/s").value();
  ASSERT_EQ(keys.size(), 4U);
  EXPECT_EQ(keys[0].name(), "line-1");
  EXPECT_TRUE(keys[0].Matches("one"));
  EXPECT_EQ(keys[1].name(), "line-4");
  EXPECT_TRUE(keys[1].Matches("three"));
  EXPECT_TRUE(keys[2].Matches("fo#ur"));
  EXPECT_EQ(keys[3].name(), "alice");
  EXPECT_TRUE(keys[3].Matches("four"));
  EXPECT_EQ(keys[3].limits().rate->requests, 5U);
}

TEST_F(KeyFile, ErrorsNameFileAndLine) {
  EXPECT_THAT(Read("one\nmy secret\n").error().message,
              AllOf(HasSubstr("keys, line 2: no digest of a key"), Not(HasSubstr("secret"))));
  EXPECT_THAT(Read("one\n\xc3\xa4\n").error().message,
              HasSubstr("keys, line 2: an API key has a character"));
  const std::string alice = ApiKey::Create("alice", "four").value().Line();
  EXPECT_THAT(Read(alice + "\n" + alice).error().message,
              HasSubstr("keys, line 2: there is another key 'alice'"));
  EXPECT_THAT(Read("# none\n\n").error().message, HasSubstr("has no API key"));
  EXPECT_EQ(ReadKeyFile(path_ + ".missing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ReadKeyFile(dir_.path()).error().code, ErrorCode::kIo);
}

TEST_F(KeyFile, GrowsByAKey) {
  ASSERT_TRUE(AppendToKeyFile(path_, ApiKey::Create("alice", "a").value()));
  struct stat made {};
  ASSERT_EQ(stat(path_.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777U, 0600U);
  ASSERT_TRUE(AppendToKeyFile(path_, ApiKey::Create("bob", "b").value()));
  const std::string before = ReadFile(path_);
  EXPECT_THAT(AppendToKeyFile(path_, ApiKey::Create("bob", "c").value()).error().message,
              HasSubstr("has a key 'bob' already"));
  EXPECT_EQ(ReadFile(path_), before);
  const std::vector<ApiKey> keys = ReadKeyFile(path_).value();
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_TRUE(keys[0].Matches("a"));
  EXPECT_TRUE(keys[1].Matches("b"));
}

TEST_F(KeyFile, GrowsWhereItsLastLineHasNoEnd) {
  WriteFile(path_, "plain");
  ASSERT_TRUE(AppendToKeyFile(path_, ApiKey::Create("alice", "a").value()));
  EXPECT_EQ(ReadKeyFile(path_).value().size(), 2U);
}

TEST_F(KeyFile, AFileWithABadLineIsLeftAsItIs) {
  WriteFile(path_, "a b\n");
  EXPECT_FALSE(AppendToKeyFile(path_, ApiKey::Create("alice", "a").value()));
  EXPECT_EQ(ReadFile(path_), "a b\n");
  EXPECT_EQ(AppendToKeyFile(dir_.File("no/keys"), ApiKey::Create("a", "a").value()).error().code,
            ErrorCode::kIo);
}

}  // namespace
}  // namespace quern
