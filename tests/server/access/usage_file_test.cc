#include "server/access/usage_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ReadFile;
using testing::TempDir;
using testing::WriteFile;

class UsageFileTest : public ::testing::Test {
 protected:
  Result<std::vector<DayTokens>> Read(const std::string& content) {
    WriteFile(path_, content);
    return ReadUsageFile(path_);
  }
  TempDir dir_;
  std::string path_ = dir_.File("usage");
};

TEST_F(UsageFileTest, HasAKeyALine) {
  const std::vector<DayTokens> counted =
      Read("# comment\n2026-11-26 alice 1234\n2024-02-29 line-7 0\n").value();
  ASSERT_EQ(counted.size(), 2U);
  EXPECT_EQ(counted[0].day, std::chrono::sys_days(std::chrono::year(2026) / 11 / 26));
  EXPECT_EQ(counted[0].caller, "alice");
  EXPECT_EQ(counted[0].tokens, 1234U);
  EXPECT_EQ(counted[1].day, std::chrono::sys_days(std::chrono::year(2024) / 2 / 29));
  EXPECT_EQ(counted[1].caller, "line-7");
}

TEST_F(UsageFileTest, ThereMayBeNone) { EXPECT_THAT(ReadUsageFile(path_).value(), IsEmpty()); }

TEST_F(UsageFileTest, ErrorsNameFileAndLine) {
  for (const char* bad :
       {"2026-11-26 alice", "2026-11-26 alice 1 2", "2026-11-31 alice 1", "2026-13-01 alice 1",
        "26-11-26 alice 1", "2026-11-2x alice 1", "2026/11/26 alice 1", "2026-11-26 al!ce 1",
        "2026-11-26 alice -1", "2026-11-26 alice 1.5", "2026-11-26 alice 99999999999999999999"}) {
    const Result<std::vector<DayTokens>> read =
        Read("2026-11-26 bob 5\n" + std::string(bad) + "\n");
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().message, path_ + ", line 2: '" + bad +
                                        "' is no usage of a key, expected DAY NAME TOKENS as in "
                                        "2026-11-26 alice 1234");
  }
  EXPECT_THAT(Read("2026-11-26 bob 5\n2026-11-26 bob 6\n").error().message,
              EndsWith("line 2: there is another line for 'bob' on that day"));
}

TEST_F(UsageFileTest, IsWrittenAtTheEnd) {
  Quotas quotas(std::nullopt);
  std::unique_ptr<UsageFile> file = UsageFile::Open(path_, &quotas, /*log=*/nullptr).value();
  EXPECT_THAT(ReadUsageFile(path_).value(), IsEmpty());
  quotas.Charge("alice", {}).ticket->Spend(7);
  quotas.Charge("bob", {}).ticket->Spend(5);
  const std::vector<DayTokens> expected = quotas.TokensOfDay();
  file.reset();
  const std::vector<DayTokens> counted = ReadUsageFile(path_).value();
  ASSERT_EQ(counted.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(counted[i].day, expected[i].day);
    EXPECT_EQ(counted[i].caller, expected[i].caller);
    EXPECT_EQ(counted[i].tokens, expected[i].tokens);
  }
}

TEST_F(UsageFileTest, KnowsKeysAlone) {
  Quotas quotas(std::nullopt);
  std::unique_ptr<UsageFile> file = UsageFile::Open(path_, &quotas, /*log=*/nullptr).value();
  quotas.Charge("::1", {}).ticket->Spend(7);
  file.reset();
  EXPECT_THAT(ReadUsageFile(path_).value(), IsEmpty());
}

TEST_F(UsageFileTest, WhatCannotBeWrittenIsToldBeforeAnyoneIsServed) {
  Quotas quotas(std::nullopt);
  const auto opened = UsageFile::Open(dir_.File("none/usage"), &quotas, /*log=*/nullptr);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("none/usage"));
}

TEST_F(UsageFileTest, WhatCannotBeWrittenLaterIsLogged) {
  const std::string log_path = dir_.File("log");
  std::filesystem::create_directory(dir_.File("gone"));
  {
    std::unique_ptr<RequestLog> log = RequestLog::Open({.file = log_path}).value();
    Quotas quotas(std::nullopt);
    std::unique_ptr<UsageFile> file =
        UsageFile::Open(dir_.File("gone/usage"), &quotas, log.get()).value();
    std::filesystem::remove_all(dir_.File("gone"));
    quotas.Charge("alice", {}).ticket->Spend(7);
    file.reset();
  }
  EXPECT_THAT(ReadFile(log_path), HasSubstr("usage not written"));
}

}  // namespace
}  // namespace quern
