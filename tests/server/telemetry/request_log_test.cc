#include "server/telemetry/request_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include "tests/testing/await.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

RequestRecord ChatRecord() {
  RequestRecord record;
  record.id = "0123456789abcdef";
  record.trace_id = "0af7651916cd43dd8448eb211c80319c";
  record.remote = "127.0.0.1";
  record.method = "POST";
  record.path = "/v1/chat/completions";
  record.status = 200;
  record.seconds = 3.25;
  record.prompt_tokens = 120;
  record.cached_tokens = 20;
  record.generated_tokens = 30;
  record.queue_seconds = 0.0101;
  record.first_token_seconds = 0.25;
  record.prefill_seconds = 0.2;
  record.decode_seconds = 3;
  return record;
}

class RequestLogTest : public ::testing::Test {
 protected:
  RequestLogTest() { options_.file = dir_.File("log"); }

  std::unique_ptr<RequestLog> Open() {
    Result<std::unique_ptr<RequestLog>> log = RequestLog::Open(options_);
    EXPECT_TRUE(log) << log.error().message;
    return log ? std::move(*log) : nullptr;
  }
  std::string Text() const { return testing::ReadFile(options_.file); }

  testing::TempDir dir_;
  RequestLogOptions options_;
};

TEST_F(RequestLogTest, WritesALineOfTextPerRequestAndEvent) {
  {
    const auto log = Open();
    log->Write(LogLevel::kInfo, "listening", {{"address", "http://[::1]:80"}, {"threads", 8}});
    log->Record(ChatRecord());
    RequestRecord probe;
    probe.path = "/health";
    probe.status = 500;
    probe.outcome = RequestOutcome::kFailed;
    log->Record(probe);
  }
  const std::vector<std::string> lines = Lines(Text());
  ASSERT_EQ(lines.size(), 3U);
  constexpr size_t kTime = sizeof "2026-11-24T18:00:00.000Z" - 1;
  EXPECT_THAT(lines[0].substr(0, kTime),
              ::testing::MatchesRegex("20[0-9-]{8}T[0-9:]{8}[.][0-9]{3}Z"));
  EXPECT_EQ(lines[0].substr(kTime), " info listening address=http://[::1]:80 threads=8");
  EXPECT_EQ(lines[1].substr(kTime),
            " info request id=0123456789abcdef remote=127.0.0.1 "
            "trace_id=0af7651916cd43dd8448eb211c80319c method=POST path=/v1/chat/completions "
            "status=200 outcome=answered ms=3250.0 prompt_tokens=120 "
            "cached_tokens=20 generated_tokens=30 queue_ms=10.1 first_token_ms=250.0 "
            "prompt_tok_s=500.0 generated_tok_s=10.0");
  EXPECT_EQ(lines[2].substr(kTime),
            " error request id=\"\" remote=\"\" method=\"\" path=/health status=500 "
            "outcome=failed ms=0.0");
}

TEST_F(RequestLogTest, WritesJsonLines) {
  options_.format = LogFormat::kJson;
  {
    const auto log = Open();
    log->Write(LogLevel::kWarning, "drain", {{"seconds", 30}});
    log->Record(ChatRecord());
  }
  const std::vector<std::string> lines = Lines(Text());
  ASSERT_EQ(lines.size(), 2U);
  const Json drain = Json::parse(lines[0]);
  EXPECT_EQ(drain["time"].get<std::string>().size(), sizeof "2026-11-24T18:00:00.000Z" - 1);
  EXPECT_EQ(drain["level"], "warning");
  EXPECT_EQ(drain["message"], "drain");
  EXPECT_EQ(drain["seconds"], 30);
  const Json request = Json::parse(lines[1]);
  EXPECT_EQ(request["level"], "info");
  EXPECT_EQ(request["path"], "/v1/chat/completions");
  EXPECT_EQ(request["queue_ms"], 10.1);
  EXPECT_EQ(request["generated_tok_s"], 10);
}

TEST_F(RequestLogTest, NoValueForgesALineOrSpeaksToATerminal) {
  const std::string valid =
      "/a\n2026 info request status=200\r\t\"q\" \\ \x1b[31m\x7f\u009b\u202e é";
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    options_.format = format;
    options_.file = dir_.File(format == LogFormat::kText ? "text" : "json");
    {
      const auto log = Open();
      RequestRecord record;
      record.path = valid;
      record.method = std::string("GET\0\xff\xc3", 6);
      record.remote = std::string(100'000, '\x01');
      log->Record(record);
    }
    const std::string text = Text();
    ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
    EXPECT_TRUE(std::all_of(text.begin(), text.end() - 1, [](char c) {
      return c >= ' ' && c <= '~';
    })) << text;
    EXPECT_LT(text.size(), 10'000U);
    if (format == LogFormat::kJson) {
      const Json line = Json::parse(text);
      EXPECT_EQ(line["path"], valid);
      EXPECT_EQ(line["method"], std::string("GET\0\ufffd\ufffd", 10));
    } else {
      EXPECT_THAT(text, HasSubstr(R"(path="/a\n2026 info request status=200\r\t\"q\" \\ \u001b[31m)"
                                  R"(\u007f\u009b\u202e \u00e9" status=0)"));
    }
  }
}

TEST_F(RequestLogTest, LeavesOutWhatIsBelowItsLevel) {
  options_.level = LogLevel::kWarning;
  {
    const auto log = Open();
    log->Write(LogLevel::kDebug, "a");
    log->Record(ChatRecord());
    log->Write(LogLevel::kWarning, "c");
  }
  EXPECT_THAT(Text(), AllOf(HasSubstr("warning c\n"), Not(HasSubstr("info"))));
}

TEST_F(RequestLogTest, AppendsWholeLinesOfManyThreads) {
  { Open()->Write(LogLevel::kInfo, "first"); }
  {
    const auto log = Open();
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log] {
        for (int i = 0; i < 100; ++i) log->Write(LogLevel::kInfo, "line", {{"end", true}});
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(log->n_lost(), 0U);
  }
  std::vector<std::string> lines = Lines(Text());
  ASSERT_EQ(lines.size(), 401U);
  EXPECT_THAT(lines[0], HasSubstr(" info first"));
  lines.erase(lines.begin());
  EXPECT_THAT(lines, Each(::testing::EndsWith("Z info line end=true")));
}

TEST_F(RequestLogTest, SaysWhyItCannotOpen) {
  options_.file = dir_.path() + "/no/such";
  const auto log = RequestLog::Open(options_);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, ErrorCode::kIo);
  EXPECT_EQ(log.error().message,
            "cannot open the log file " + options_.file + ": No such file or directory");
}

TEST_F(RequestLogTest, AFullDiskLosesLinesAndNothingElse) {
  options_.file = "/dev/full";
  const auto log = Open();
  for (int i = 0; i < 3; ++i) log->Write(LogLevel::kInfo, "line");
  testing::Await("three lost lines", [&] { return log->n_lost() >= 3; });
  EXPECT_EQ(log->n_lost(), 3U);
}

TEST_F(RequestLogTest, AStalledReaderLosesTheOldestLinesAndIsToldOfIt) {
  options_.file = dir_.File("fifo");
  options_.queue_lines = 16;
  ASSERT_EQ(mkfifo(options_.file.c_str(), 0600), 0);
  EXPECT_FALSE(RequestLog::Open(options_)) << "nobody reads it, and opening must not wait";
  const int reader = open(options_.file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  const auto log = Open();
  constexpr int kLines = 5000;  // far more than a pipe's 64 KiB
  for (int i = 0; i < kLines; ++i) log->Write(LogLevel::kInfo, "line", {{"i", i}});
  EXPECT_GT(log->n_lost(), 0U);

  fcntl(reader, F_SETFL, 0);
  const std::string last = "line i=" + std::to_string(kLines - 1) + "\n";
  std::string text;
  char buffer[4096];
  while (text.find(last) == std::string::npos) {
    pollfd more = {reader, POLLIN, 0};
    ASSERT_EQ(poll(&more, 1, 30'000), 1) << "no line for 30 s";
    const ssize_t n = read(reader, buffer, sizeof buffer);
    ASSERT_GT(n, 0);
    text.append(buffer, static_cast<size_t>(n));
  }
  close(reader);
  int n_written = 0;
  int n_lost = 0;
  for (const std::string& line : Lines(text)) {
    const size_t at = line.find("warning log lines lost count=");
    if (at == std::string::npos) {
      ++n_written;
    } else {
      n_lost += std::stoi(line.substr(line.find('=') + 1));
    }
  }
  EXPECT_EQ(n_written + n_lost, kLines);
}

/// stderr is a pipe that was opened elsewhere: it blocks, and it may lose its reader.
class StderrPipe {
 public:
  StderrPipe() : stderr_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe(ends_), 0);
    EXPECT_GE(dup2(ends_[1], STDERR_FILENO), 0);
    close(ends_[1]);
  }
  ~StderrPipe() {
    dup2(stderr_, STDERR_FILENO);
    close(stderr_);
  }
  StderrPipe(const StderrPipe&) = delete;
  StderrPipe& operator=(const StderrPipe&) = delete;
  int reader() const { return ends_[0]; }

 private:
  int stderr_;
  int ends_[2] = {};
};

TEST(RequestLogOnStderr, EndsThoughNobodyReads) {
  const StderrPipe pipe;
  {
    const Result<std::unique_ptr<RequestLog>> log = RequestLog::Open({});
    ASSERT_TRUE(log);
    const std::string value(1000, '\x01');  // 6,000 bytes when escaped, more than PIPE_BUF
    for (int i = 0; i < 2000; ++i) (*log)->Write(LogLevel::kInfo, "line", {{"value", value}});
  }
  pollfd line = {pipe.reader(), POLLIN, 0};
  ASSERT_EQ(poll(&line, 1, 30'000), 1) << "no line for 30 s";
  char start[] = "20";
  EXPECT_EQ(read(pipe.reader(), start, 2), 2);
  EXPECT_THAT(start, StartsWith("20"));
  close(pipe.reader());
}

TEST(RequestLogOnStderr, OutlivesItsReader) {
  const StderrPipe pipe;
  close(pipe.reader());
  const Result<std::unique_ptr<RequestLog>> log = RequestLog::Open({});
  ASSERT_TRUE(log);
  (*log)->Write(LogLevel::kInfo, "line");
  testing::Await("a lost line", [&] { return (*log)->n_lost() > 0; });
  EXPECT_EQ((*log)->n_lost(), 1U);
}

}  // namespace
}  // namespace quern
