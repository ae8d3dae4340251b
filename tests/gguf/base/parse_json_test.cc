#include "gguf/base/parse_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;

std::string Nested(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(ParseJson, Reads) {
  const Result<nlohmann::json> json = ParseJson(R"({"a": [1, "[\"[", {"b": null}]})");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ((*json)["a"][1], "[\"[");
}

TEST(ParseJson, DepthHasALimit) {
  EXPECT_TRUE(ParseJson(Nested(100)));
  const Result<nlohmann::json> deep = ParseJson(Nested(100'000));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().message,
            "the body has lists and objects in 100000 levels, at most 100 are allowed");
  std::string objects;
  for (int i = 0; i < 101; ++i) objects += R"({"a":)";
  EXPECT_FALSE(ParseJson(objects + "1" + std::string(101, '}')));
  EXPECT_FALSE(ParseJson(std::string(100'000, '[')));
}

TEST(ParseJson, BracketsInStringsAreNoDepth) {
  EXPECT_TRUE(ParseJson('"' + std::string(1000, '[') + '"'));
  EXPECT_TRUE(ParseJson("[\"\\\"" + std::string(1000, '{') + "\"]"));
}

TEST(ParseJson, ErrorsAreShortAndPrintable) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[1,]"), std::string("1e999"),
        std::string("\"\xff\""), std::string("\"\\ud800\""), std::string("\"a\0b\"", 5),
        '"' + std::string(10'000, 'x'), std::string("{} {}"), std::string("nan"),
        std::string("\"\x1b\"")}) {
    const Result<nlohmann::json> json = ParseJson(text);
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().code, ErrorCode::kInvalidArgument);
    EXPECT_LT(json.error().message.size(), 300U) << text;
    EXPECT_EQ(json.error().message.find_first_of("\n\x1b\xff"), std::string::npos);
  }
  EXPECT_THAT(ParseJson("{").error().message,
              HasSubstr("the body is not JSON: parse error at line 1, column 2"));
}

TEST(ParseJson, RefusesMillionsOfValues) {
  std::string list = "[{}";
  for (int i = 0; i < 600'000; ++i) list += ",{}";
  const Result<nlohmann::json> json = ParseJson(list + "]");
  ASSERT_FALSE(json);
  EXPECT_EQ(json.error().message, "the body has 1200003 values, at most 1000000 are allowed");
}

}  // namespace
}  // namespace quern
