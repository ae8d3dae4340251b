#include "server/api/prompt_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/api/api_request.h"
#include "server/api/embeddings.h"
#include "server/api/router.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

std::string TextOf(ApiKind kind, const char* body) {
  return PromptText(ParseApiRequest(kind, nlohmann::json::parse(body)).value().prompts);
}

TEST(PromptText, OneTextIsItself) {
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": "a \"b\"\n"})"), "a \"b\"\n");
  EXPECT_EQ(TextOf(ApiKind::kNative, R"({"prompt": ""})"), "");
}

TEST(PromptText, AllElseIsJson) {
  EXPECT_EQ(TextOf(ApiKind::kChat, R"({"messages": [{"role": "user", "content": "hi"}]})"),
            R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": ["a", "b"]})"), R"(["a","b"])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": [5, 6]})"), "[5,6]");
  EXPECT_EQ(TextOf(ApiKind::kNative, R"({"prompt": ["a", 5, 6]})"), R"(["a",[5,6]])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": [[5], [6, 7]]})"), "[[5],[6,7]]");
}

class PlainTextTest : public ::testing::Test {
 protected:
  static std::string Screened(const ModelRequest& request) {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    const Tokenizer tokenizer = Tokenizer::Load(*file).value();
    return PlainText(request.prompts, &tokenizer);
  }
  static std::string Routed(const ModelRequest& request) {
    return RouteQuestion::Of(request, "").text;
  }
  static std::vector<Token> TokensOf(std::string_view text) {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return Tokenizer::Load(*file)->Encode(text, {.add_special = false});
  }
};

/// What a rule keeps from an answer and what a route goes by shall not drift apart.
TEST_F(PlainTextTest, RoutingAndScreeningReadTheSame) {
  const auto chat = [](const char* body) {
    return ParseChatRequest(nlohmann::json::parse(body)).value();
  };
  const auto completion = [](const nlohmann::json& body) {
    return ParseCompletionRequest(body).value();
  };
  const auto native = [](const nlohmann::json& body) { return ParseNativeRequest(body).value(); };
  const auto embedding = [](const nlohmann::json& body) {
    return ParseEmbeddingRequest(body).value();
  };
  const std::vector<std::pair<ModelRequest, std::string>> cases = {
      {chat(R"({"messages": [{"role": "system", "content": "be kind"},
                             {"role": "user", "content": "hello"}]})"),
       "be kind\nhello\n"},
      // Parts of a message are one text, which a rule may find across them.
      {chat(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "hem"},
                                                          {"type": "text", "text": "lock"}]}]})"),
       "hemlock\n"},
      {chat(R"({"messages": [{"role": "user", "content": [{"type": "image_url"},
                                                          {"type": "text", "text": "x"}]}]})"),
       "x\n"},
      {chat(R"({"prompt": "not read", "messages": [{"role": "user", "content": "a"}]})"), "a\n"},
      {completion({{"prompt", {"a", "b"}}}), "a\nb\n"},
      {completion({{"prompt", "a"}, {"input", "not read"}}), "a\n"},
      {native({{"prompt", {{"prompt_string", "a"}}}}), "a\n"},
      {embedding({{"input", {"a", "b"}}}), "a\nb\n"},
  };
  for (const auto& [request, expected] : cases) {
    EXPECT_EQ(Routed(request), expected);
    EXPECT_EQ(Screened(request), expected);
  }
}

/// Before a model is chosen nobody knows what they stand for.
TEST_F(PlainTextTest, TokensAreTextWhereThereIsATokenizer) {
  const std::vector<Token> tokens = TokensOf("lock");
  const ApiRequest alone = ParseCompletionRequest({{"prompt", tokens}}).value();
  EXPECT_EQ(Routed(alone), "");
  EXPECT_EQ(Screened(alone), "lock\n");
  nlohmann::json pieces = {"hem"};
  for (const Token token : tokens) pieces.push_back(token);
  pieces.push_back("!");
  const ApiRequest mixed = ParseNativeRequest({{"prompt", pieces}}).value();
  EXPECT_EQ(Routed(mixed), "hem!\n");
  EXPECT_EQ(Screened(mixed), "hemlock!\n");
  const EmbeddingRequest inputs = ParseEmbeddingRequest({{"input", {tokens, tokens}}}).value();
  EXPECT_EQ(Routed(inputs), "");
  EXPECT_EQ(Screened(inputs), "lock\nlock\n");
}

}  // namespace
}  // namespace quern
