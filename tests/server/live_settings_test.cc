#include "server/live_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/access/certificate.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::WriteFile;

class LiveSettingsTest : public ::testing::Test {
 protected:
  LiveSettingsTest() {
    WriteKeys("first");
    WriteRules("cake");
    Certify();
  }

  LiveSettings::Sources Sources() const {
    return {.api_keys = {"constant"},
            .api_key_file = dir_.File("keys"),
            .screening_file = dir_.File("rules"),
            .tls = TlsFiles{dir_.File("crt"), dir_.File("key")}};
  }
  void WriteKeys(const std::string& lines) const { WriteFile(dir_.File("keys"), lines + '\n'); }
  void WriteRules(const std::string& word) const {
    WriteFile(dir_.File("rules"), "word block " + word + '\n');
  }
  void Certify() const {
    const Certificate made = MakeCertificate({"localhost"}, 2).value();
    WriteFile(dir_.File("crt"), made.pem);
    WriteFile(dir_.File("key"), made.key_pem);
  }
  static bool LetsIn(const Settings& settings, const std::string& key) {
    return settings.access->Find("", key) != nullptr;
  }
  static bool Finds(const Settings& settings, const std::string& text) {
    return !settings.screening->Find(text).empty();
  }

  testing::TempDir dir_;
};

TEST_F(LiveSettingsTest, WithoutSourcesThereIsNothing) {
  LiveSettings live({});
  ASSERT_TRUE(live.Read());
  const Settings settings = live.Current();
  EXPECT_FALSE(settings.access->has_keys());
  EXPECT_EQ(settings.screening, nullptr);
  EXPECT_TRUE(settings.routers->all().empty());
  EXPECT_EQ(live.tls(), nullptr);
}

TEST_F(LiveSettingsTest, FilesAreReadAgain) {
  LiveSettings live(Sources());
  ASSERT_TRUE(live.Read());
  const TlsServer* tls = live.tls();
  EXPECT_NE(tls, nullptr);
  const Settings before = live.Current();
  EXPECT_TRUE(LetsIn(before, "first") && LetsIn(before, "constant"));
  EXPECT_TRUE(Finds(before, "a cake"));
  WriteKeys("second");
  WriteRules("bread");
  Certify();
  ASSERT_TRUE(live.Read());
  const Settings after = live.Current();
  EXPECT_TRUE(LetsIn(after, "second") && LetsIn(after, "constant"));
  EXPECT_FALSE(LetsIn(after, "first"));
  EXPECT_TRUE(Finds(after, "bread"));
  EXPECT_EQ(live.tls(), tls) << "connections keep it";
  // Requests under way go on by what they began with.
  EXPECT_TRUE(LetsIn(before, "first"));
  EXPECT_TRUE(Finds(before, "a cake"));
}

/// Each file in turn is bad, with the others changed.
TEST_F(LiveSettingsTest, AllOrNothing) {
  LiveSettings live(Sources());
  ASSERT_TRUE(live.Read());
  const auto expect_as_before = [&](const char* why) {
    const Status status = live.Read();
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr(why));
    EXPECT_TRUE(LetsIn(live.Current(), "first")) << why;
    EXPECT_FALSE(LetsIn(live.Current(), "second")) << why;
    EXPECT_TRUE(Finds(live.Current(), "cake")) << why;
    EXPECT_FALSE(Finds(live.Current(), "bread")) << why;
  };
  WriteKeys("second\nbad line");
  WriteRules("bread");
  expect_as_before("keys, line 2");
  WriteKeys("second");
  WriteRules("(bread");
  expect_as_before("rules, line 1");
  WriteRules("bread");
  WriteFile(dir_.File("crt"), "none");
  expect_as_before("holds no certificate");
  Certify();
  ASSERT_TRUE(live.Read());
  EXPECT_TRUE(LetsIn(live.Current(), "second"));
}

TEST_F(LiveSettingsTest, ABadStartIsAnError) {
  WriteKeys("two words");
  LiveSettings live(Sources());
  EXPECT_FALSE(live.Read());
  LiveSettings empty_key({.api_keys = {""}, .api_key_file = "", .screening_file = "", .tls = {}});
  const Status status = empty_key.Read();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("an API key is empty"));
}

TEST_F(LiveSettingsTest, RoutersAreNoFiles) {
  LiveSettings live(Sources());
  Router router;
  router.name = "auto";
  live.SetRouters(Routers::Create({router}, "").value());
  ASSERT_TRUE(live.Read());
  ASSERT_TRUE(live.Read());
  EXPECT_EQ(live.Current().routers->all().size(), 1U);
  live.SetRouters(Routers());
  EXPECT_TRUE(live.Current().routers->all().empty());
  EXPECT_TRUE(LetsIn(live.Current(), "first"));
}

}  // namespace
}  // namespace quern
