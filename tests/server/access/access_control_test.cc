#include "server/access/access_control.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace quern {
namespace {

AccessControl Control(const std::vector<std::string>& secrets) {
  std::vector<ApiKey> keys;
  for (const std::string& secret : secrets) {
    keys.push_back(ApiKey::Create("of-" + secret, secret).value());
  }
  return AccessControl(std::move(keys));
}

TEST(AccessControl, WithoutKeysAllAreLetIn) {
  const AccessControl control = Control({});
  EXPECT_FALSE(control.has_keys());
  EXPECT_TRUE(control.IsOpen("POST", "/v1/completions"));
  EXPECT_EQ(control.Find("Bearer any", ""), nullptr);
}

TEST(AccessControl, AnyOfTheKeysLetsIn) {
  const AccessControl control = Control({"secret", "other", "s"});
  EXPECT_TRUE(control.has_keys());
  for (const std::string key : {"secret", "other", "s"}) {
    ASSERT_NE(control.Find("Bearer " + key, ""), nullptr) << key;
    EXPECT_EQ(control.Find("Bearer " + key, "")->name(), "of-" + key);
    ASSERT_NE(control.Find("", key), nullptr) << key;
    EXPECT_EQ(control.Find("", key)->name(), "of-" + key);
  }
  EXPECT_NE(control.Find("bearer secret", ""), nullptr);
  for (const std::string key : {"", "secre", "secrets", "secretsecret", "ssssss", "ss", "Secret"}) {
    EXPECT_EQ(control.Find("Bearer " + key, ""), nullptr) << key;
    EXPECT_EQ(control.Find("", key), nullptr) << key;
  }
  for (const char* value : {"secret", "Basic secret", "Bearer", "Bearer  secret"}) {
    EXPECT_EQ(control.Find(value, ""), nullptr) << value;
  }
}

TEST(AccessControl, HealthAndPreflightsAreOpen) {
  const AccessControl control = Control({"secret"});
  EXPECT_TRUE(control.IsOpen("GET", "/health"));
  EXPECT_TRUE(control.IsOpen("GET", "/v1/health"));
  EXPECT_TRUE(control.IsOpen("OPTIONS", "/v1/completions"));
  EXPECT_FALSE(control.IsOpen("GET", "/v1/models"));
  EXPECT_FALSE(control.IsOpen("GET", "/health/"));
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
