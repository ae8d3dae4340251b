#include "server/api/parse_prompts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

std::string Message(const Status& status) { return status ? "no error" : status.error().message; }

TEST(ParsePrompts, AListOfPromptsOrOfTokens) {
  const auto n_prompts = [](const char* value, bool mixed) {
    ModelRequest request;
    EXPECT_TRUE(ReadPrompts("prompt", json::parse(value), mixed, &request)) << value;
    return request.prompts.size();
  };
  EXPECT_EQ(n_prompts(R"("a")", false), 1U);
  EXPECT_EQ(n_prompts(R"(["a", "b"])", false), 2U);
  EXPECT_EQ(n_prompts("[1, 2, 3]", false), 1U);
  EXPECT_EQ(n_prompts("[[1, 2], [3]]", false), 2U);
  EXPECT_EQ(n_prompts(R"(["a", 1, "b"])", true), 1U);
  EXPECT_EQ(n_prompts(R"([["a", 1], "b"])", true), 2U);
  ModelRequest request;
  EXPECT_EQ(Message(ReadPrompts("input", json::parse(R"(["a", 1])"), false, &request)),
            R"('input' is ["a",1], expected a text or a list of token ids)");
  EXPECT_EQ(Message(ReadPrompts("input", json::parse("[]"), false, &request)),
            "'input' is [], expected a text or a list of token ids");
}

TEST(ParsePrompts, Tokens) {
  ModelRequest request;
  ASSERT_TRUE(ReadTokens("tokens", {1, 2}, &request));
  EXPECT_THAT(std::get<std::vector<Token>>(std::get<MixedPrompt>(request.prompts.at(0)).at(0)),
              ElementsAre(1, 2));
  EXPECT_EQ(Message(ReadTokens("tokens", {1, -2}, &request)),
            "'tokens' is [1,-2], expected a list of token ids");
}

TEST(ParsePrompts, WhatIsNoTextIsNotedAndPassedOver) {
  ModelRequest request;
  ASSERT_TRUE(ReadMessages(json::parse(R"([
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"},
                                   {"type": "image_url"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "tool_calls": [{}]}])"),
                           &request));
  const auto& messages = std::get<Conversation>(request.prompts.at(0));
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].content, "ab");
  EXPECT_EQ(messages[1].content, "");
  EXPECT_TRUE(request.has_images);
  ASSERT_TRUE(request.unsupported);
  EXPECT_EQ(request.unsupported->message,
            R"('messages[0].content' has a part of type "input_audio", only text is supported)");

  ModelRequest native;
  ASSERT_TRUE(ReadPrompts(
      "prompt", json::parse(R"({"prompt_string": "a", "multimodal_data": ["x"]})"), true, &native));
  EXPECT_EQ(native.prompts.size(), 1U);
  EXPECT_EQ(native.unsupported->message, "'multimodal_data' is not supported");
}

TEST(ParsePrompts, TheNameOfAModelIsAText) {
  ModelRequest request;
  EXPECT_TRUE(ReadModelName({{"model", nullptr}}, &request));
  EXPECT_EQ(request.model, "");
  EXPECT_TRUE(ReadModelName({{"model", "m"}}, &request));
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(Message(ReadModelName({{"model", 5}}, &request)), "'model' is 5, expected a text");
}

}  // namespace
}  // namespace quern
