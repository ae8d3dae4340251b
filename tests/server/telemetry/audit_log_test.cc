#include "server/telemetry/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/await.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using Json = nlohmann::json;
using testing::ReadFile;
using testing::TempDir;

std::vector<Json> Lines(const std::string& path) {
  std::istringstream stream(ReadFile(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

RequestRecord Record(const std::string& prompt) {
  RequestRecord record;
  record.id = "id-1";
  record.remote = "127.0.0.1";
  record.key = "alice";
  record.method = "POST";
  record.path = "/v1/completions";
  record.model = "demo";
  record.status = 200;
  record.seconds = 0.5;
  record.prompt = prompt;
  record.prompt_tokens = 7;
  record.cached_tokens = 2;
  record.generated_tokens = 3;
  return record;
}

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLogTest() { options_.file = dir_.File("audit"); }

  TempDir dir_;
  AuditLog::Options options_;
};

TEST_F(AuditLogTest, TellsWhoAskedAndNotWhat) {
  AuditLog::Open(options_).value()->Record(Record("abc"));
  const std::vector<Json> lines = Lines(options_.file);
  ASSERT_EQ(lines.size(), 1U);
  const Json& line = lines.front();
  EXPECT_TRUE(line.contains("time"));
  EXPECT_EQ(line["id"], "id-1");
  EXPECT_EQ(line["remote"], "127.0.0.1");
  EXPECT_EQ(line["key"], "alice");
  EXPECT_EQ(line["method"], "POST");
  EXPECT_EQ(line["path"], "/v1/completions");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["ms"], 500);
  EXPECT_EQ(line["model"], "demo");
  EXPECT_EQ(line["prompt_tokens"], 7);
  EXPECT_EQ(line["cached_tokens"], 2);
  EXPECT_EQ(line["generated_tokens"], 3);
  // FIPS 180's example.
  EXPECT_EQ(line["prompt_sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(line.contains("prompt"));
}

TEST_F(AuditLogTest, TellsWhatIfAskedTo) {
  options_.with_content = true;
  const std::string prompt(5000, '"');
  AuditLog::Open(options_).value()->Record(Record(prompt));
  EXPECT_EQ(Lines(options_.file).at(0)["prompt"], prompt);
}

TEST_F(AuditLogTest, ARequestWithoutPromptHasNone) {
  RequestRecord record = Record("");
  record.prompt.reset();
  AuditLog::Open(options_).value()->Record(record);
  EXPECT_FALSE(Lines(options_.file).at(0).contains("prompt_sha256"));
}

TEST_F(AuditLogTest, LargeFilesAreSetAsideBetweenLines) {
  options_.max_bytes = 1000;
  options_.n_kept = 50;
  {
    const std::unique_ptr<AuditLog> log = AuditLog::Open(options_).value();
    for (int i = 0; i < 40; ++i) log->Record(Record("abc"));
  }
  size_t n_lines = 0;
  size_t n_files = 0;
  for (const auto& file : std::filesystem::directory_iterator(dir_.path())) {
    EXPECT_LE(file.file_size(), options_.max_bytes);
    n_lines += Lines(file.path()).size();
    ++n_files;
  }
  EXPECT_EQ(n_lines, 40U);
  EXPECT_GT(n_files, 10U);
}

TEST_F(AuditLogTest, AFullDiskLosesLinesAndCountsThem) {
  options_.file = "/dev/full";
  const std::unique_ptr<AuditLog> log = AuditLog::Open(options_).value();
  log->Record(Record("abc"));
  testing::Await("a lost line", [&] { return log->n_lost() > 0; });
  EXPECT_EQ(log->n_lost(), 1U);
}

}  // namespace
}  // namespace quern
