#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/telemetry/tracer.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(NoTracer, IsNotMissedWhereNobodyAsks) {
  const auto tracer = Tracer::Create({}, /*log=*/nullptr);
  ASSERT_TRUE(tracer);
  EXPECT_EQ(*tracer, nullptr);
}

TEST(NoTracer, SaysWhatItNeeds) {
  const auto tracer = Tracer::Create({.endpoint = "http://127.0.0.1:4318", .version = ""}, nullptr);
  ASSERT_FALSE(tracer);
  EXPECT_EQ(tracer.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(tracer.error().message, AllOf(HasSubstr("built without OpenTelemetry"),
                                            HasSubstr("tools/setup/install.sh tracing")));
}

TEST(NoTracer, GoesOnWhereOnlyTheEnvironmentAsks) {
  const testing::Variable endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
  const testing::TempDir dir;
  RequestLogOptions options;
  options.file = dir.File("log");
  {
    const auto log = RequestLog::Open(options);
    ASSERT_TRUE(log);
    const auto tracer = Tracer::Create({}, log->get());
    ASSERT_TRUE(tracer);
    EXPECT_EQ(*tracer, nullptr);
  }
  EXPECT_THAT(testing::ReadFile(options.file), HasSubstr("warning nothing is traced"));
}

}  // namespace
}  // namespace quern
