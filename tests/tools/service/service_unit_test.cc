#include "tools/service/service_unit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ServiceUnit SomeUnit() {
  ServiceUnit unit;
  unit.executable = "/usr/bin/quern";
  unit.arguments = {"serve", "--port", "8081"};
  return unit;
}

std::string ErrorOf(const ServiceUnit& unit) {
  const Result<std::string> text = UnitText(unit);
  return text ? "no error" : text.error().message;
}

TEST(UnitWord, PlainTextIsItself) {
  for (const char* plain : {"--port", "8081", "/srv/models/a-b_c.gguf", "key=value", "a,b"}) {
    EXPECT_EQ(UnitWord(plain), plain);
  }
}

TEST(UnitWord, WhatSystemdWouldReadIsQuoted) {
  EXPECT_EQ(UnitWord(""), R"("")");
  EXPECT_EQ(UnitWord("a b"), R"("a b")");
  EXPECT_EQ(UnitWord(";"), R"(";")");
  EXPECT_EQ(UnitWord("#x"), R"("#x")");
  EXPECT_EQ(UnitWord("it's"), R"("it's")");
  EXPECT_EQ(UnitWord(R"(say "a")"), R"("say \"a\"")");
  EXPECT_EQ(UnitWord(R"(a\)"), R"("a\\")");
}

TEST(UnitWord, SpecifiersAreNone) {
  EXPECT_EQ(UnitWord("100%h"), "100%%h");
  EXPECT_EQ(UnitWord("{% if %}"), R"("{%% if %%}")");
}

TEST(UnitWord, DollarsStandForThemselves) { EXPECT_EQ(UnitWord("${HOME}$$"), R"("${HOME}$$")"); }

TEST(UnitWord, StaysOnOneLineOfUtf8) {
  EXPECT_EQ(UnitWord("a\nb\tc\x7f"), R"("a\x0ab\x09c\x7f")");
  EXPECT_EQ(UnitWord("m\xc3\xbchle\xff"), "\"m\xc3\xbchle\\xff\"");
}

TEST(UnitText, AnOptionALine) {
  EXPECT_THAT(UnitText(SomeUnit()).value(),
              HasSubstr("\nExecStart=:/usr/bin/quern serve \\\n    --port 8081\n"));
}

TEST(UnitText, PathsAreEscaped) {
  ServiceUnit unit = SomeUnit();
  unit.executable = "/opt/100% quern";
  unit.needed_files = {"/srv/a b.gguf", "/srv/c$.gguf"};
  unit.revealed_files = {"/home/a:b.gguf", "/home/c%.gguf"};
  unit.copied_files = {{"api-key-file", "/etc/my keys%"}};
  const std::string text = UnitText(unit).value();
  EXPECT_THAT(text, HasSubstr("\nExecStart=:\"/opt/100%% quern\" serve"));
  EXPECT_THAT(text, HasSubstr(" \\\n    --api-key-file \"/etc/my keys%%\"\n"));
  EXPECT_THAT(
      text,
      HasSubstr("\nRequiresMountsFor=\"/srv/a b.gguf\" \"/srv/c$.gguf\" \"/etc/my keys%%\"\n"));
  EXPECT_THAT(text, HasSubstr("\nBindReadOnlyPaths=\"/home/a:b.gguf\" /home/c%%.gguf\n"));
}

TEST(UnitText, RootCopiesFilesAtTheStartAndAtAReload) {
  ServiceUnit unit = SomeUnit();
  unit.copied_files = {{"api-key-file", "/etc/keys"}, {"screening", "/etc/rules"}};
  const std::string copy =
      "=+:/usr/bin/quern service-files %t/%N \\\n"
      "    --api-key-file /etc/keys \\\n"
      "    --screening /etc/rules\n";
  const std::string start =
      "RuntimeDirectory=%N\nRuntimeDirectoryMode=0500\n"
      "ExecStartPre" +
      copy +
      "ExecStart=:/usr/bin/quern serve \\\n"
      "    --port 8081 \\\n"
      "    --api-key-file %t/%N/api-key-file \\\n"
      "    --screening %t/%N/screening\n";
  EXPECT_THAT(UnitText(unit).value(), HasSubstr(start));
  EXPECT_THAT(UnitText(unit).value(), Not(HasSubstr("ExecReload")));
  unit.can_reload = true;
  EXPECT_THAT(UnitText(unit).value(), HasSubstr(start + "ExecReload" + copy +
                                                "ExecReload=/usr/bin/systemd-notify RELOADING=1\n"
                                                "ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n"));
}

TEST(UnitText, AReloadChecksSeveralModelsBeforeItChangesAnything) {
  ServiceUnit unit = SomeUnit();
  unit.copied_files = {{"api-key-file", "/etc/keys"}};
  unit.can_reload = true;
  unit.has_several = true;
  EXPECT_THAT(UnitText(unit).value(), HasSubstr("\nExecReload=:/usr/bin/quern serve \\\n"
                                                "    --port 8081 \\\n"
                                                "    --check \\\n"
                                                "    --api-key-file %t/%N/api-key-file\n"
                                                "ExecReload=+:/usr/bin/quern service-files"));
}

TEST(UnitText, AReloadMayHaveNothingToCopy) {
  ServiceUnit unit = SomeUnit();
  unit.can_reload = true;
  const std::string text = UnitText(unit).value();
  EXPECT_THAT(text, HasSubstr("\nExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n"));
  EXPECT_THAT(text, Not(HasSubstr("service-files")));
  EXPECT_THAT(text, Not(HasSubstr("RuntimeDirectory")));
}

TEST(UnitText, RefusesPathsThatItCannotHold) {
  for (const char* path : {"/srv/a\nUser=root", "/srv/a\"", "/srv/a\\", "/srv/a ", "/srv/\xff"}) {
    ServiceUnit unit = SomeUnit();
    unit.needed_files = {path};
    EXPECT_THAT(ErrorOf(unit), HasSubstr("a unit cannot name the file '/srv/")) << path;
    unit = SomeUnit();
    unit.copied_files = {{"api-key-file", path}};
    EXPECT_THAT(ErrorOf(unit), HasSubstr("a unit cannot name the file '/srv/")) << path;
  }
}

TEST(UnitText, OnLoopbackTheNetworkIsShut) {
  EXPECT_THAT(UnitText(SomeUnit()).value(), HasSubstr("\nIPAddressDeny=any\n"));
  ServiceUnit unit = SomeUnit();
  unit.calls_out = true;
  EXPECT_THAT(UnitText(unit).value(), Not(HasSubstr("IPAddressDeny")));
  unit.host = "0.0.0.0";
  const std::string text = UnitText(unit).value();
  EXPECT_THAT(text, Not(HasSubstr("IPAddressDeny")));
  EXPECT_THAT(text, HasSubstr("\nAfter=network-online.target\n"));
}

TEST(UnitText, ALowPortIsTheOnlyRight) {
  EXPECT_THAT(UnitText(SomeUnit()).value(), HasSubstr("\nCapabilityBoundingSet=\n"));
  ServiceUnit unit = SomeUnit();
  unit.has_low_port = true;
  const std::string text = UnitText(unit).value();
  EXPECT_THAT(text, HasSubstr("\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"));
  EXPECT_THAT(text, HasSubstr("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"));
  EXPECT_THAT(text, Not(HasSubstr("PrivateUsers")));
}

TEST(UnitText, AUserOfItsOwnUnlessOneIsNamed) {
  EXPECT_THAT(UnitText(SomeUnit()).value(), HasSubstr("\nDynamicUser=yes\n"));
  ServiceUnit unit = SomeUnit();
  unit.user = "miller";
  const std::string text = UnitText(unit).value();
  EXPECT_THAT(text, HasSubstr("\nUser=miller\n"));
  EXPECT_THAT(text, Not(HasSubstr("DynamicUser")));
}

TEST(UnitText, FilesInHomesAreSeenAlone) {
  EXPECT_THAT(UnitText(SomeUnit()).value(), HasSubstr("\nProtectHome=yes\n"));
  ServiceUnit unit = SomeUnit();
  unit.revealed_files = {"/home/miller/m.gguf"};
  EXPECT_THAT(UnitText(unit).value(),
              HasSubstr("\nProtectHome=tmpfs\nBindReadOnlyPaths=/home/miller/m.gguf\n"));
}

TEST(IsHiddenByUnit, HomesAndTemporaryFiles) {
  for (const char* path : {"/home/a/b", "/root/a", "/run/user/1/a", "/tmp/a", "/var/tmp/a"}) {
    EXPECT_TRUE(IsHiddenByUnit(path)) << path;
  }
  for (const char* path : {"/srv/home/a", "/homes/a", "/usr/bin/quern"}) {
    EXPECT_FALSE(IsHiddenByUnit(path)) << path;
  }
}

}  // namespace
}  // namespace quern
