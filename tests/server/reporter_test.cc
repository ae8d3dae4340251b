#include "server/reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadFile;

/// A span whose header names the request's own.
class FakeTracer final : public Tracer {
 public:
  std::unique_ptr<RequestSpan> Begin(const IncomingRequest& request) override {
    seen = request;
    return std::make_unique<Span>(&ended);
  }

  IncomingRequest seen;
  int ended = 0;

 private:
  class Span final : public RequestSpan {
   public:
    explicit Span(int* ended) : ended_(ended) {}
    std::string trace_id() const override { return "trace-1"; }
    std::string traceparent() const override { return "parent-1"; }
    void End(const RequestRecord& /*record*/) override { ++*ended_; }

   private:
    int* ended_;
  };
};

class ReporterTest : public ::testing::Test {
 protected:
  ReporterTest() { request_.method = "POST", request_.path = "/x", request_.remote = "1.2.3.4"; }

  std::unique_ptr<RequestLog> OpenLog() const {
    RequestLogOptions options;
    options.file = dir_.File("log");
    return RequestLog::Open(options).value();
  }
  std::unique_ptr<AuditLog> OpenAudit(const std::string& file) const {
    AuditLog::Options options;
    options.file = file;
    return AuditLog::Open(options).value();
  }

  testing::TempDir dir_;
  Metrics metrics_{"1"};
  HttpRequest request_;
};

TEST_F(ReporterTest, TellsAllOfARequestsEnd) {
  FakeTracer tracer;
  {
    const auto log = OpenLog();
    const auto audit = OpenAudit(dir_.File("audit"));
    Reporter reporter(&metrics_, log.get(), audit.get(), &tracer);
    request_.headers.Add(kRequestIdHeader, "mine-1");
    const auto exchange = reporter.Begin(request_, {.is_known = true, .is_tls = true});
    EXPECT_EQ(exchange->NamingHeaders().Get(kRequestIdHeader), "mine-1");
    EXPECT_EQ(exchange->NamingHeaders().Get(kTraceparentHeader), "parent-1");
    exchange->NoteStatus(404);
    EXPECT_EQ(exchange->record.outcome, RequestOutcome::kRejected);
  }
  EXPECT_THAT(ReadFile(dir_.File("log")),
              AllOf(HasSubstr("id=mine-1 remote=1.2.3.4 trace_id=trace-1"),
                    HasSubstr("status=404 outcome=rejected")));
  EXPECT_THAT(ReadFile(dir_.File("audit")), HasSubstr(R"("id":"mine-1")"));
  EXPECT_EQ(tracer.ended, 1);
  EXPECT_TRUE(tracer.seen.is_known_path && tracer.seen.is_tls);
  EXPECT_THAT(metrics_.Expose({}), HasSubstr("quern_requests_rejected_total 1"));
}

TEST_F(ReporterTest, OneTraceparentAlone) {
  FakeTracer tracer;
  Reporter reporter(&metrics_, nullptr, nullptr, &tracer);
  request_.headers.Add(kTraceparentHeader, "a");
  request_.headers.Add("TraceState", "x=1");
  request_.headers.Add("tracestate", "y=2");
  reporter.Begin(request_, {});
  EXPECT_EQ(tracer.seen.traceparent, "a");
  EXPECT_EQ(tracer.seen.tracestate, "x=1,y=2");
  request_.headers.Add(kTraceparentHeader, "b");
  reporter.Begin(request_, {});
  EXPECT_EQ(tracer.seen.traceparent, "");
}

TEST_F(ReporterTest, BadNamesAreReplaced) {
  Reporter reporter(&metrics_, nullptr, nullptr, nullptr);
  request_.headers.Add(kRequestIdHeader, "\"quoted\"");
  const auto exchange = reporter.Begin(request_, {});
  EXPECT_EQ(exchange->record.id.size(), 16U);
  EXPECT_FALSE(exchange->NamingHeaders().Has(kTraceparentHeader));
}

TEST_F(ReporterTest, LostAuditLinesAreToldOnce) {
  {
    const auto log = OpenLog();
    const auto audit = OpenAudit("/dev/full");
    Reporter reporter(&metrics_, log.get(), audit.get(), nullptr);
    do {  // the log learns of a loss with the request after it
      reporter.Begin(request_, {});
    } while (reporter.n_audit_lost() == 0);
    for (int i = 0; i < 5; ++i) reporter.Begin(request_, {});
  }
  const std::string text = ReadFile(dir_.File("log"));
  const size_t told = text.find("audit lines lost");
  ASSERT_NE(told, std::string::npos);
  EXPECT_EQ(text.find("audit lines lost", told + 1), std::string::npos);
}

TEST_F(ReporterTest, TellsOfFallbacksAndOfRefusedConnections) {
  {
    const auto log = OpenLog();
    Reporter reporter(&metrics_, log.get(), nullptr, nullptr);
    RequestRecord record;
    record.id = "id-1";
    record.model = "small";
    reporter.ReportFallback(record, "big");
    reporter.ReportRefused("5.6.7.8", {431, "too large"});
  }
  EXPECT_THAT(ReadFile(dir_.File("log")),
              AllOf(HasSubstr("fallback id=id-1 from=small to=big"), HasSubstr("remote=5.6.7.8"),
                    HasSubstr("status=431"), Not(HasSubstr("too large"))));
}

TEST(Exchange, ATryIsNotThoseBefore) {
  RequestRecord told;
  {
    Exchange exchange([&](const RequestRecord& record) { told = record; });
    exchange.NoteSubmit();
    exchange.NoteToken();
    exchange.NoteCutOff();
    exchange.BeginTry();
    exchange.NoteStatus(200);
  }
  EXPECT_EQ(told.outcome, RequestOutcome::kAnswered);
  EXPECT_EQ(told.first_token_seconds, 0);
  EXPECT_EQ(told.submit_seconds, 0);
}

TEST(Exchange, OutcomesOfReplies) {
  EXPECT_EQ(OutcomeOf(200), RequestOutcome::kAnswered);
  EXPECT_EQ(OutcomeOf(404), RequestOutcome::kRejected);
  EXPECT_EQ(OutcomeOf(503), RequestOutcome::kRejected);
  EXPECT_EQ(OutcomeOf(500), RequestOutcome::kFailed);
}

}  // namespace
}  // namespace quern
