#include "server/access_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

AccessControl Control(std::vector<std::string> keys) {
  return AccessControl::Create(std::move(keys)).value();
}

TEST(AccessControl, WithoutKeysAllAreLetIn) {
  const AccessControl control = Control({});
  EXPECT_FALSE(control.has_keys());
  EXPECT_TRUE(control.Allows("POST", "/v1/completions", "", ""));
}

TEST(AccessControl, AnyOfTheKeysLetsIn) {
  const AccessControl control = Control({"secret", "other", "s"});
  const auto with_bearer = [&](const char* value) {
    return control.Allows("POST", "/v1/completions", value, "");
  };
  const auto with_header = [&](const char* value) {
    return control.Allows("POST", "/v1/completions", "", value);
  };
  for (const char* key : {"secret", "other", "s"}) {
    EXPECT_TRUE(with_bearer((std::string("Bearer ") + key).c_str())) << key;
    EXPECT_TRUE(with_header(key)) << key;
  }
  EXPECT_TRUE(with_bearer("bearer secret"));
  for (const char* key : {"", "secre", "secrets", "secretsecret", "ssssss", "ss", "Secret"}) {
    EXPECT_FALSE(with_bearer((std::string("Bearer ") + key).c_str())) << key;
    EXPECT_FALSE(with_header(key)) << key;
  }
  for (const char* value : {"secret", "Basic secret", "Bearer", "Bearer  secret"}) {
    EXPECT_FALSE(with_bearer(value)) << value;
  }
}

TEST(AccessControl, HealthAndPreflightsAreOpen) {
  const AccessControl control = Control({"secret"});
  EXPECT_TRUE(control.Allows("GET", "/health", "", ""));
  EXPECT_TRUE(control.Allows("GET", "/v1/health", "", ""));
  EXPECT_TRUE(control.Allows("OPTIONS", "/v1/completions", "", ""));
  EXPECT_FALSE(control.Allows("GET", "/v1/models", "", ""));
  EXPECT_FALSE(control.Allows("GET", "/health/", "", ""));
}

TEST(AccessControl, KeysThatNoClientCanSendAreRefused) {
  EXPECT_THAT(AccessControl::Create({"a", ""}).error().message, HasSubstr("an API key is empty"));
  for (const char* key : {"a b", "a\n", "\x7f", "\xc3\xa9"}) {
    EXPECT_FALSE(AccessControl::Create({key})) << key;
  }
}

class ApiKeyFile : public ::testing::Test {
 protected:
  Result<std::vector<std::string>> Read(const std::string& content) {
    std::ofstream(path_) << content;
    return ReadApiKeyFile(path_);
  }
  testing::TempDir dir_;
  std::string path_ = dir_.File("keys");
};

TEST_F(ApiKeyFile, HasAKeyALine) {
  EXPECT_THAT(Read("one\n\n# two\n  three \r\nfo#ur").value(),
              ElementsAre("one", "three", "fo#ur"));
}

TEST_F(ApiKeyFile, ErrorsNameFileAndLine) {
  EXPECT_THAT(Read("one\ntwo words\n").error().message, HasSubstr("keys, line 2: the API key has"));
  EXPECT_THAT(Read("one\ntwo words\n").error().message, ::testing::Not(HasSubstr("words")));
  EXPECT_THAT(Read("# none\n\n").error().message, HasSubstr("has no API key"));
  EXPECT_EQ(ReadApiKeyFile(path_ + ".missing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ReadApiKeyFile(dir_.path()).error().code, ErrorCode::kIo);
}

TEST(Exposure, LoopbackNeedsNoKey) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
    EXPECT_TRUE(CheckExposure(host, false, false)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.1", "127.evil.com", "localhost.evil.com",
                           "example.com", "", "128.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
    EXPECT_FALSE(CheckExposure(host, false, false)) << host;
    EXPECT_TRUE(CheckExposure(host, true, false)) << host;
    EXPECT_TRUE(CheckExposure(host, false, true)) << host;
  }
}

}  // namespace
}  // namespace quern
