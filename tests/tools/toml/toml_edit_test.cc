#include "tools/toml/toml_edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;

/// `text` after models.a.threads was set to 12, or the error's message.
std::string WithThreads(const std::string& text) {
  Result<TomlDocument> document = TomlDocument::Parse(text, "quern.toml");
  if (!document) return document.error().message;
  const Status status = document->SetInteger({"models", "a"}, "threads", 12);
  EXPECT_TRUE(status || document->text() == text);
  return status ? document->text() : status.error().message;
}

TEST(TomlEdit, ReplacesAValueInItsPlace) {
  EXPECT_EQ(
      WithThreads("# top\n[models.a]   # a\npath = 'x'\nthreads=4# few\n\n[b]\nthreads = nan\n"),
      "# top\n[models.a]   # a\npath = 'x'\nthreads=12# few\n\n[b]\nthreads = nan\n");
  EXPECT_EQ(WithThreads("[models.a]\nthreads = 0x1_F"), "[models.a]\nthreads = 12");
  EXPECT_EQ(WithThreads("[models.a]\r\n\tthreads\t=\t+1\t\r\n"),
            "[models.a]\r\n\tthreads\t=\t12\t\r\n");
}

TEST(TomlEdit, ReplacesAValueOfATableInAnyForm) {
  EXPECT_EQ(WithThreads("models.a.threads = 3 # a"), "models.a.threads = 12 # a");
  EXPECT_EQ(WithThreads("[models]\na = {path = 'x', threads = 3}\n"),
            "[models]\na = {path = 'x', threads = 12}\n");
  EXPECT_EQ(WithThreads("models = {a={threads=3}}"), "models = {a={threads=12}}");
  EXPECT_EQ(WithThreads("['models' . \"a\"]\n\"threads\" = 3"),
            "['models' . \"a\"]\n\"threads\" = 12");
}

TEST(TomlEdit, CountsCharactersNotBytes) {
  EXPECT_EQ(WithThreads("\xef\xbb\xbfmodels = {a = {n = 'mühle€𝄞', threads = 3}} # ü"),
            "\xef\xbb\xbfmodels = {a = {n = 'mühle€𝄞', threads = 12}} # ü");
}

TEST(TomlEdit, AddsALineBelowTheOtherValues) {
  EXPECT_EQ(WithThreads("[models.a]\npath = 'x' # here\n\n# next\n[b]\n"),
            "[models.a]\npath = 'x' # here\nthreads = 12\n\n# next\n[b]\n");
  EXPECT_EQ(WithThreads("[models.a]\n[b]\n"), "[models.a]\nthreads = 12\n[b]\n");
  EXPECT_EQ(WithThreads("[models.a]\r\n  path = 'x'\r\n[b]\r\n"),
            "[models.a]\r\n  path = 'x'\r\n  threads = 12\r\n[b]\r\n");
  EXPECT_EQ(WithThreads("[models.a]\nlist = [1,\n  2] # two\n[models.a.sub]\nx = 1\n"),
            "[models.a]\nlist = [1,\n  2] # two\nthreads = 12\n[models.a.sub]\nx = 1\n");
  EXPECT_EQ(WithThreads("[models.a.sub]\nx = 1\n[models.a]\npath = '''\na\n'''\n"),
            "[models.a.sub]\nx = 1\n[models.a]\npath = '''\na\n'''\nthreads = 12\n");
}

TEST(TomlEdit, AddsALineAtAnEndWithoutNewline) {
  EXPECT_EQ(WithThreads("[models.a]"), "[models.a]\nthreads = 12");
  EXPECT_EQ(WithThreads("\r\n[models.a]\r\n path = 'x'"),
            "\r\n[models.a]\r\n path = 'x'\r\n threads = 12");
}

TEST(TomlEdit, DottedKeysInTheSectionStayBelow) {
  EXPECT_EQ(WithThreads("[models.a]\npath = 'x'\nlimits.rate = 4\n"),
            "[models.a]\npath = 'x'\nthreads = 12\nlimits.rate = 4\n");
}

TEST(TomlEdit, RefusesToAddWhereALineWouldNotDo) {
  const std::string reason =
      "a has no section [models.a] of its own, to which a line threads = 12 could be added: add it "
      "by hand";
  EXPECT_EQ(WithThreads("[models]\na = {path = 'x'}\n"), "quern.toml: line 2, column 5: " + reason);
  EXPECT_EQ(WithThreads("[models]\n\n  a.path = 'x'\n"), "quern.toml: line 3, column 3: " + reason);
  EXPECT_EQ(WithThreads("[models.a.sub]\nx = 1\n"), "quern.toml: line 1, column 1: " + reason);
}

TEST(TomlEdit, OnlyWholeNumbersAreReplaced) {
  EXPECT_EQ(WithThreads("[models.a]\n threads = 'four'\n"),
            "quern.toml: line 2, column 12: 'threads' is of type string, expected a whole number");
  EXPECT_EQ(WithThreads("[models.a]\nthreads = 4.0"),
            "quern.toml: line 2, column 11: 'threads' is of type floating-point, expected a whole "
            "number");
  EXPECT_THAT(WithThreads("[models.a.threads]\n"), HasSubstr("line 1, column 1: 'threads' is of"));
}

TEST(TomlEdit, WhatIsNoTomlIsAnErrorWithItsPlace) {
  EXPECT_THAT(WithThreads("[models.a]\nthreads = = 4\n"), HasSubstr("quern.toml: line 2, column "));
  EXPECT_THAT(WithThreads("[models.a]\nx = 1\nx = 2\n"), HasSubstr("line 3, column "));
  EXPECT_THAT(WithThreads("x = '\xff'\n"), HasSubstr(": no TOML: "));
  EXPECT_THAT(WithThreads("[[[a]]]"), HasSubstr(": no TOML: "));
}

TEST(TomlEdit, NamesOfTheTextArePrintableInErrors) {
  const TomlPath path = {"models", "a\u202e"};
  auto document = TomlDocument::Parse("models = {'a\u202e' = {}}", "quern.toml");
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_THAT(
      document->SetInteger(path, "threads", 12).error().message,
      HasSubstr("a\\xe2\\x80\\xae has no section [models.\"a\\xe2\\x80\\xae\"] of its own"));
  EXPECT_THAT(document->AddSection(path, {}).error().message,
              HasSubstr("no section [models.\"a\\xe2\\x80\\xae\"] can be added: "));
}

/// `text` after a section models."b.1" was added, or the error's message.
std::string WithSection(const std::string& text) {
  Result<TomlDocument> document = TomlDocument::Parse(text, "quern.toml");
  if (!document) return document.error().message;
  const Status status = document->AddSection({"models", "b.1"}, {"path = \"b\"", "threads = 2"});
  EXPECT_TRUE(status || document->text() == text);
  return status ? document->text() : status.error().message;
}

TEST(TomlEdit, AddsASectionAtTheEnd) {
  const std::string section = "[models.\"b.1\"]\npath = \"b\"\nthreads = 2\n";
  EXPECT_EQ(WithSection(""), section);
  EXPECT_EQ(WithSection("port = 1\n"), "port = 1\n\n" + section);
  EXPECT_EQ(WithSection("[models.a]\npath = 'x' # x"), "[models.a]\npath = 'x' # x\n\n" + section);
  EXPECT_EQ(WithSection("a = 1\r\n"),
            "a = 1\r\n\r\n[models.\"b.1\"]\r\npath = \"b\"\r\nthreads = 2\r\n");
}

TEST(TomlEdit, RefusesASectionOfWhatIsDefined) {
  EXPECT_THAT(WithSection("models = {}\n"),
              HasSubstr("quern.toml: no section [models.\"b.1\"] can be added: "));
  EXPECT_THAT(WithSection("models = 3\n"), HasSubstr("can be added: "));
  EXPECT_THAT(WithSection("[models.'b.1']\n"), HasSubstr("can be added: "));
}

TEST(TomlEdit, WritesStringsAndKeys) {
  EXPECT_EQ(TomlString("a\"b\\c\n\x7f ü"), "\"a\\\"b\\\\c\\u000A\\u007F ü\"");
  EXPECT_EQ(TomlKey("llama-3_1B"), "llama-3_1B");
  EXPECT_EQ(TomlKey("a b"), "\"a b\"");
  EXPECT_EQ(TomlKey(""), "\"\"");
  const std::string odd = "q\"\\\t\x01 é";
  const auto document = TomlDocument::Parse(TomlKey(odd) + " = " + TomlString(odd), "text");
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_EQ(document->root()[odd].value_or(std::string()), odd);
}

}  // namespace
}  // namespace quern
