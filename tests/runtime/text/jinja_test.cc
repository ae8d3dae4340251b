#include "runtime/text/jinja.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace quern {
namespace {

using Json = nlohmann::ordered_json;

TEST(Jinja, CallsFunctionsWithOneText) {
  const auto parsed = JinjaTemplate::Parse("{{ twice(word) }}{{ twice('b') }}");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const JinjaTemplate::Functions functions = {
      {"twice", [](const std::string& text) { return text + text; }}};
  EXPECT_EQ(parsed->Render(Json{{"word", "a"}}, functions).value_or(""), "aabb");
  const auto bad = JinjaTemplate::Parse("{{ twice() }}")->Render(Json::object(), functions);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
}

TEST(Jinja, SaysWhatDoesNotParse) {
  const auto parsed = JinjaTemplate::Parse("a\n{% if %}\nb");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << parsed.error().message;
}

/// A macro and the variables that it is one of hold each other.
TEST(Jinja, NothingStaysOfARendering) {
  for (const char* source : {"{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1) }}",
                             "{% macro f(x) %}{{ x }}{% endmacro %}{{ raise_exception('no') }}"}) {
    const auto parsed = JinjaTemplate::Parse(source);
    ASSERT_TRUE(parsed) << parsed.error().message;
    std::weak_ptr<int> watched;
    {
      const auto captured = std::make_shared<int>(1);
      watched = captured;
      const auto text =
          parsed->Render(Json::object(), {{"g", [captured](const std::string& s) { return s; }}});
      EXPECT_EQ(text.value_or("no"), text ? "1" : "no");
    }
    EXPECT_TRUE(watched.expired()) << source;
  }
}

}  // namespace
}  // namespace quern
