#include "server/telemetry/otlp_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gguf/base/printable.h"
#include "tests/testing/variable.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::Variable;

std::string Url(const std::string& option = "") {
  const Result<std::string> url = TracesUrl(option);
  return url ? *url : "error: " + url.error().message;
}

TEST(OtlpEndpoint, PutsThePathBehindTheOption) {
  EXPECT_EQ(Url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
  EXPECT_EQ(Url("https://collector.example/"), "https://collector.example/v1/traces");
  EXPECT_EQ(Url("HTTP://[::1]:4318/otlp/"), "HTTP://[::1]:4318/otlp/v1/traces");
}

TEST(OtlpEndpoint, IsNoneWithoutAnyoneAsking) { EXPECT_EQ(Url(), ""); }

TEST(OtlpEndpoint, TakesTheVariables) {
  const Variable all("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
  EXPECT_EQ(Url(), "http://all:4318/v1/traces");
  const Variable traces("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/here");
  EXPECT_EQ(Url(), "http://traces:4318/here");
  EXPECT_EQ(Url("http://option"), "http://option/v1/traces");
}

TEST(OtlpEndpoint, IsNoneWhereTheVariablesAreSwitchedOff) {
  const Variable all("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
  const Variable off("OTEL_SDK_DISABLED", "True");
  EXPECT_EQ(Url(), "");
  EXPECT_EQ(Url("http://option"), "http://option/v1/traces");
}

TEST(OtlpEndpoint, SaysWhoNamesNoUrl) {
  for (const char* bad : {"127.0.0.1:4318", "ftp://host", "http://", "http:///path", "http://:4318",
                          "http://a host", "http://host\n", "grpc://host:4317"}) {
    EXPECT_THAT(Url(bad),
                AllOf(HasSubstr("error: --otlp-endpoint: " + Quoted(bad)), HasSubstr("expected")));
  }
  const Variable traces("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nowhere");
  EXPECT_THAT(Url(), HasSubstr("error: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'nowhere'"));
}

TEST(OtlpEndpoint, HasAHost) {
  EXPECT_EQ(HostOfUrl("http://127.0.0.1:4318/v1/traces"), "127.0.0.1");
  EXPECT_EQ(HostOfUrl("https://collector.example"), "collector.example");
  EXPECT_EQ(HostOfUrl("http://[::1]:4318?a=b"), "::1");
  EXPECT_EQ(HostOfUrl("http://user:word@host:1/a@b"), "host");
}

}  // namespace
}  // namespace quern
