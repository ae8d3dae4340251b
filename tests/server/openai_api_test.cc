#include "server/openai_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string ChatError(std::string_view body) {
  const Result<ApiRequest> request = ParseApiRequest(ApiKind::kChat, body);
  return request ? "no error" : request.error().message;
}

std::string CompletionError(std::string_view body) {
  const Result<ApiRequest> request = ParseApiRequest(ApiKind::kCompletion, body);
  return request ? "no error" : request.error().message;
}

TEST(OpenaiApi, ReadsAChatRequest) {
  const Result<ApiRequest> request = ParseApiRequest(ApiKind::kChat, R"({
    "model": "any", "user": "someone", "unknown_field": [1],
    "messages": [{"role": "system", "content": "Be brief."},
                 {"role": "user", "content": [{"type": "text", "text": "a"},
                                              {"type": "text", "text": "b"}]}],
    "max_completion_tokens": 7, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.25,
    "seed": 12345678901, "stop": ["x", "y"], "stream": true,
    "stream_options": {"include_usage": true}, "logit_bias": {"5": -100, "6": 1.5},
    "presence_penalty": 0.5, "frequency_penalty": -0.5, "n": 1, "tools": [], "logprobs": false,
    "response_format": {"type": "text"}})");
  ASSERT_TRUE(request) << request.error().message;
  const auto& messages = std::get<std::vector<ChatMessage>>(request->input);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "ab");
  const GenerateRequest& generate = request->generate;
  EXPECT_EQ(generate.max_tokens, 7U);
  EXPECT_THAT(generate.stop, ElementsAre("x", "y"));
  EXPECT_EQ(generate.sampling.temperature, 0.0F);
  EXPECT_EQ(generate.sampling.top_p, 0.5F);
  EXPECT_EQ(generate.sampling.top_k, 3);
  EXPECT_EQ(generate.sampling.min_p, 0.25F);
  EXPECT_EQ(generate.sampling.seed, 12345678901U);
  EXPECT_EQ(generate.sampling.presence_penalty, 0.5F);
  EXPECT_EQ(generate.sampling.frequency_penalty, -0.5F);
  EXPECT_THAT(generate.sampling.logit_bias, ElementsAre(Pair(5, -100.0F), Pair(6, 1.5F)));
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
}

TEST(OpenaiApi, ReadsPromptsOfTextAndTokens) {
  const auto prompt = [](const char* body) {
    return ParseApiRequest(ApiKind::kCompletion, body).value().input;
  };
  EXPECT_EQ(std::get<std::string>(prompt(R"({"prompt": "hi"})")), "hi");
  EXPECT_EQ(std::get<std::string>(prompt(R"({"prompt": ["hi"]})")), "hi");
  EXPECT_THAT(std::get<std::vector<Token>>(prompt(R"({"prompt": [1, 2]})")), ElementsAre(1, 2));
  EXPECT_THAT(std::get<std::vector<Token>>(prompt(R"({"prompt": [[7]]})")), ElementsAre(7));
}

TEST(OpenaiApi, DefaultsAreOpenais) {
  const Result<ApiRequest> completion =
      ParseApiRequest(ApiKind::kCompletion, R"({"prompt": "hi", "temperature": null})");
  ASSERT_TRUE(completion);
  EXPECT_EQ(completion->generate.max_tokens, 16U);
  EXPECT_EQ(completion->generate.sampling.temperature, 1.0F);
  EXPECT_FALSE(completion->stream);
  const Result<ApiRequest> chat =
      ParseApiRequest(ApiKind::kChat, R"({"messages": [{"role": "user", "content": "hi"}]})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->generate.max_tokens, 0U);
}

TEST(OpenaiApi, NamesWhatIsWrong) {
  EXPECT_THAT(ChatError("{"), HasSubstr("the body is not JSON"));
  EXPECT_EQ(ChatError("[1]"), "the body is JSON, expected an object");
  EXPECT_EQ(ChatError("{}"), "'messages' is null, expected a list of at least one message");
  EXPECT_EQ(ChatError(R"({"messages": []})"),
            "'messages' is [], expected a list of at least one message");
  EXPECT_EQ(ChatError(R"({"messages": [{"content": "x"}]})"),
            R"('messages[0]' is {"content":"x"}, expected an object with a role)");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "user", "content": 5}]})"),
            "'messages[0].content' is 5, expected a text or a list of text parts");
  EXPECT_EQ(CompletionError(R"({"prompt": [1, -2]})"),
            "'prompt' is [1,-2], expected one text or one list of token ids");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "temperature": "hot"})"),
            R"('temperature' is "hot", expected a number from 0 to 100)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "top_p": 1.5})"),
            "'top_p' is 1.5, expected a number from 0 to 1");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "max_tokens": 0})"),
            "'max_tokens' is 0, expected a whole number from 1 to 2147483647");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "max_tokens": 1.5})"),
            "'max_tokens' is 1.5, expected a whole number from 1 to 2147483647");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stream": "yes"})"),
            R"('stream' is "yes", expected true or false)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stop": 3})"),
            "'stop' is 3, expected a text or a list of at most 16 texts");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "logit_bias": {"x": 1}})"),
            R"('logit_bias' is {"x":1}, expected an object of token ids and numbers)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stream_options": 1})"),
            "'stream_options' is 1, expected an object");
}

TEST(OpenaiApi, RefusesWhatItCannotHonour) {
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "n": 2})"), "'n' is 2, only 1 is supported");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "echo": true})"), "'echo' is not supported");
  for (const char* asked : {"0", "1", "5", "true"}) {
    EXPECT_EQ(CompletionError(std::string(R"({"prompt": "a", "logprobs": )") + asked + "}"),
              "'logprobs' is not supported");
  }
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "best_of": 1, "echo": false, "suffix": ""})"),
            "no error");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "response_format": {"type": 5}})"),
            "'response_format' is not supported");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "user", "content": "x"}],
                          "response_format": {"type": "json_schema"}})"),
            "'response_format' is not supported");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "user", "content": "x"}],
                          "tools": [{"type": "function"}]})"),
            "'tools' is not supported");
}

TEST(OpenaiApi, InvalidUtf8InABodyIsAnError) {
  EXPECT_THAT(CompletionError("{\"prompt\": \"\xff\"}"), HasSubstr("the body is not JSON"));
}

TEST(OpenaiApi, WritesResponsesAndChunks) {
  const ResponseHead head{ApiKind::kChat, "chatcmpl-1", 5, "demo"};
  GenerateStats stats;
  stats.prompt_tokens = 3;
  stats.generated_tokens = 2;
  EXPECT_EQ(ResponseJson(head, "hi", FinishReason::kLength, stats).dump(),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"demo",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"hi"},)"
            R"("logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,)"
            R"("completion_tokens":2,"total_tokens":5,"prompt_tokens_details":)"
            R"({"cached_tokens":0}}})");
  EXPECT_EQ(ChunkJson(head, "h", true)["choices"][0].dump(),
            R"({"index":0,"delta":{"role":"assistant","content":"h"},"logprobs":null,)"
            R"("finish_reason":null})");
  EXPECT_EQ(ChunkJson(head, "i", false)["choices"][0]["delta"].dump(), R"({"content":"i"})");
  EXPECT_EQ(LastChunkJson(head, FinishReason::kStop)["choices"][0].dump(),
            R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"})");
  EXPECT_EQ(UsageChunkJson(head, stats)["choices"].dump(), "[]");

  const ResponseHead text{ApiKind::kCompletion, "cmpl-1", 5, "demo"};
  EXPECT_EQ(ChunkJson(text, "h", false).dump(),
            R"({"id":"cmpl-1","object":"text_completion","created":5,"model":"demo",)"
            R"("choices":[{"index":0,"text":"h","logprobs":null,"finish_reason":null}]})");
}

}  // namespace
}  // namespace quern
