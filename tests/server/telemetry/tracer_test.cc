// What a tracer makes of a request's headers, and of a collector that is not there. What it exports
// is tested by clients/tracing_test.mjs.
#include "server/telemetry/tracer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr const char* kTraceId = "0af7651916cd43dd8448eb211c80319c";

IncomingRequest Request(const std::string& traceparent, const std::string& path = "/") {
  return {.method = "GET",
          .path = path,
          .remote = "127.0.0.1",
          .is_known_path = false,
          .is_tls = false,
          .traceparent = traceparent,
          .tracestate = ""};
}

/// A port of loopback where connections are taken by the kernel and nobody answers.
class SilentPort {
 public:
  SilentPort() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_, generic, size), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
    EXPECT_EQ(getsockname(socket_, generic, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPort() { Close(); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  /// From now on connections are refused.
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }

 private:
  int socket_;
  int port_ = 0;
};

class TracerTest : public ::testing::Test {
 protected:
  TracerTest() { port_.Close(); }

  std::unique_ptr<Tracer> Create(RequestLog* log = nullptr) {
    auto tracer = Tracer::Create({.endpoint = port_.url(), .version = "1.2.3"}, log);
    EXPECT_TRUE(tracer) << tracer.error().message;
    return tracer ? *std::move(tracer) : nullptr;
  }

  SilentPort port_;
};

TEST_F(TracerTest, IsNoneWithoutAnEndpoint) {
  const auto tracer = Tracer::Create({}, /*log=*/nullptr);
  ASSERT_TRUE(tracer);
  EXPECT_EQ(*tracer, nullptr);
}

TEST_F(TracerTest, RefusesWhatIsNoUrl) {
  const auto tracer = Tracer::Create({.endpoint = "collector", .version = ""}, nullptr);
  ASSERT_FALSE(tracer);
  EXPECT_THAT(tracer.error().message, HasSubstr("--otlp-endpoint: 'collector'"));
}

TEST_F(TracerTest, BeginsATraceForEachRequest) {
  const auto tracer = Create();
  std::set<std::string> traces;
  for (int i = 0; i < 100; ++i) {
    const auto span = tracer->Begin(Request(""));
    ASSERT_NE(span, nullptr);
    EXPECT_THAT(span->traceparent(), MatchesRegex("00-[0-9a-f]{32}-[0-9a-f]{16}-01"));
    EXPECT_EQ(span->traceparent().substr(3, 32), span->trace_id());
    traces.insert(span->trace_id());
  }
  EXPECT_EQ(traces.size(), 100U);
}

TEST_F(TracerTest, GoesOnWithTheTraceOfAValidParent) {
  const auto tracer = Create();
  const std::string whole = kParent;
  const std::string ids = whole.substr(3, 49);
  for (const std::string& parent :
       {whole, fmt::format("  {} ", whole), fmt::format("cc-{}-01-what-comes-later", ids)}) {
    const auto span = tracer->Begin(Request(parent));
    EXPECT_EQ(span->trace_id(), kTraceId) << parent;
    EXPECT_NE(span->traceparent().substr(36, 16), whole.substr(36, 16));
    EXPECT_THAT(span->traceparent(), StartsWith("00-"));
    EXPECT_EQ(span->traceparent().substr(52), "-01");
  }
}

TEST_F(TracerTest, ObeysAParentThatIsNotSampled) {
  const auto tracer = Create();
  const auto span = tracer->Begin(Request(std::string(kParent).substr(0, 53) + "00"));
  EXPECT_EQ(span->trace_id(), kTraceId);
  EXPECT_EQ(span->traceparent().substr(52), "-00");
}

TEST_F(TracerTest, PassesOverAnInvalidParent) {
  const auto tracer = Create();
  const std::string whole = kParent;
  std::vector<std::string> invalid = {"-",
                                      "---",
                                      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                      "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
                                      "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
                                      fmt::format("0{}", whole),
                                      whole + "-",
                                      whole + "-00",
                                      "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0100"};
  for (size_t size = 0; size < whole.size(); ++size) invalid.push_back(whole.substr(0, size));
  for (const std::string& parent : invalid) {
    const auto span = tracer->Begin(Request(parent));
    ASSERT_NE(span, nullptr);
    EXPECT_NE(span->trace_id(), kTraceId) << parent;
    EXPECT_EQ(span->traceparent().substr(52), "-01") << parent;
  }
}

TEST_F(TracerTest, LeavesMonitorsOutUnlessTheirTraceIsSampled) {
  const auto tracer = Create();
  for (const char* path : {"/health", "/v1/health", "/metrics", "/slots"}) {
    EXPECT_EQ(tracer->Begin(Request("", path)), nullptr);
    EXPECT_EQ(tracer->Begin(Request(std::string(kParent).substr(0, 53) + "00", path)), nullptr);
    EXPECT_NE(tracer->Begin(Request(kParent, path)), nullptr);
  }
  EXPECT_NE(tracer->Begin(Request("", "/v1/models")), nullptr);
}

TEST_F(TracerTest, TellsTheLogAloneOfSpansThatAreLost) {
  const testing::TempDir dir;
  RequestLogOptions options;
  options.file = dir.File("log");
  ::testing::internal::CaptureStderr();
  {
    const auto log = RequestLog::Open(options);
    ASSERT_TRUE(log);
    const auto tracer = Create(log->get());
    for (int i = 0; i < 5; ++i) {
      RequestRecord record;
      record.path = std::string("/\xff\0", 3);
      record.model = "\xfe";
      record.submit_seconds = 1;
      tracer->Begin(Request("", record.path))->End(record);
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  const std::string text = testing::ReadFile(options.file);
  EXPECT_THAT(text, ContainsRegex("warning tracing problem=\".*failed.*\" problems="));
  // Some may have been sent before the end, and are told of in a line of their own.
  size_t n_lost = 0;
  constexpr std::string_view kField = " spans_lost=";
  for (size_t at = text.find(kField); at != std::string::npos; at = text.find(kField, at + 1)) {
    n_lost += std::stoul(text.substr(at + kField.size()));
  }
  EXPECT_EQ(n_lost, 5U) << text;
}

TEST(Tracer, EndsAlthoughItsCollectorIsSilent) {
  const SilentPort port;
  auto tracer = Tracer::Create({.endpoint = port.url(), .version = ""}, /*log=*/nullptr);
  ASSERT_TRUE(tracer);
  // Several batches, and more than the queue holds.
  for (int i = 0; i < 5000; ++i) (*tracer)->Begin(Request(""))->End({});
  tracer->reset();
}

}  // namespace
}  // namespace quern
