#include "server/telemetry/log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::ReadFile;
using testing::TempDir;

class LogFileTest : public ::testing::Test {
 protected:
  void Write(std::string_view text) const {
    EXPECT_EQ(write(file_->descriptor(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  std::string Text(const std::string& suffix = "") const { return ReadFile(path_ + suffix); }

  TempDir dir_;
  std::string path_ = dir_.File("log");
  std::unique_ptr<LogFile> file_ = LogFile::Open(path_).value();
};

TEST_F(LogFileTest, AppendsAndKnowsItsSize) {
  Write("one");
  EXPECT_EQ(file_->Size(), 3U);
  file_ = LogFile::Open(path_).value();
  Write("two");
  EXPECT_EQ(file_->Size(), 6U);
  EXPECT_EQ(Text(), "onetwo");
}

TEST_F(LogFileTest, FollowsItsPath) {
  Write("old");
  std::filesystem::rename(path_, path_ + ".old");
  Write("er");
  ASSERT_TRUE(file_->Reopen());
  Write("new");
  EXPECT_EQ(Text(".old"), "older");
  EXPECT_EQ(Text(), "new");
}

TEST_F(LogFileTest, IsSetAsideAsOftenAsAsked) {
  for (const char* text : {"a", "b", "c", "d"}) {
    Write(text);
    ASSERT_TRUE(file_->SetAside(2));
  }
  Write("e");
  EXPECT_EQ(Text(), "e");
  EXPECT_EQ(Text(".1"), "d");
  EXPECT_EQ(Text(".2"), "c");
  EXPECT_FALSE(std::filesystem::exists(path_ + ".3"));
}

TEST_F(LogFileTest, GoesOnWhereItCannotBeSetAside) {
  std::filesystem::create_directories(path_ + ".1/in_the_way");
  Write("a");
  const Status status = file_->SetAside(1);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("cannot rename the log file " + path_));
  Write("b");
  EXPECT_EQ(Text(), "ab");
}

TEST_F(LogFileTest, GoesOnWhereItCannotBeOpenedAgain) {
  std::filesystem::rename(path_, path_ + ".old");
  std::filesystem::create_directory(path_);
  EXPECT_THAT(file_->Reopen().error().message, HasSubstr("cannot open the log file " + path_));
  Write("a");
  EXPECT_EQ(Text(".old"), "a");
}

TEST(LogFile, SaysWhyItCannotOpen) {
  EXPECT_THAT(LogFile::Open("/no/such/folder/log").error().message,
              HasSubstr("cannot open the log file /no/such/folder/log: No such file"));
}

TEST(LogFile, StderrStaysAsItIs) {
  const std::unique_ptr<LogFile> file = LogFile::Open("").value();
  EXPECT_EQ(file->descriptor(), STDERR_FILENO);
  EXPECT_TRUE(file->Reopen());
  EXPECT_TRUE(file->SetAside(3));
}

}  // namespace
}  // namespace quern
