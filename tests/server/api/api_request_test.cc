#include "server/api/api_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gguf/base/parse_json.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string ErrorOf(ApiKind kind, std::string_view body) {
  const Result<nlohmann::json> object = ParseJsonObject(body);
  if (!object) return object.error().message;
  const Result<ApiRequest> request = ParseApiRequest(kind, *object);
  if (!request) return request.error().message;
  return request->unsupported ? request->unsupported->message : "no error";
}
std::string ChatError(std::string_view body) { return ErrorOf(ApiKind::kChat, body); }
std::string CompletionError(std::string_view body) { return ErrorOf(ApiKind::kCompletion, body); }
std::string NativeError(std::string_view body) { return ErrorOf(ApiKind::kNative, body); }

ApiRequest Parsed(ApiKind kind, std::string_view body) {
  const Result<ApiRequest> request = ParseApiRequest(kind, nlohmann::json::parse(body));
  if (!request) throw std::runtime_error(request.error().message);
  return *request;
}

/// For the engine, where the model has no defaults of its own.
GenerateRequest Generated(ApiKind kind, std::string_view body) {
  return Parsed(kind, body).Generate({});
}

TEST(ApiRequest, ReadsAChatRequest) {
  const ApiRequest request = Parsed(ApiKind::kChat, R"({
    "model": "any", "user": "someone", "unknown_field": [1],
    "messages": [{"role": "system", "content": "Be brief."},
                 {"role": "user", "content": [{"type": "text", "text": "a"},
                                              {"type": "text", "text": "b"}]}],
    "max_completion_tokens": 7, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.25,
    "seed": 12345678901, "stop": ["x", "y"], "stream": true,
    "stream_options": {"include_usage": true}, "logit_bias": {"5": -100, "6": 1.5},
    "presence_penalty": 0.5, "frequency_penalty": -0.5, "n": 3, "tools": [],
    "logprobs": true, "top_logprobs": 4, "response_format": {"type": "text"}})");
  ASSERT_EQ(request.prompts.size(), 1U);
  const auto& messages = std::get<Conversation>(request.prompts[0]);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "ab");
  EXPECT_EQ(request.model, "any");
  EXPECT_EQ(request.response.n, 3U);
  const GenerateRequest generate = request.Generate({});
  EXPECT_EQ(generate.max_tokens, 7U);
  EXPECT_THAT(generate.stop, ElementsAre("x", "y"));
  EXPECT_EQ(generate.sampling.temperature, 0.0F);
  EXPECT_EQ(generate.sampling.top_p, 0.5F);
  EXPECT_EQ(generate.sampling.top_k, 3);
  EXPECT_EQ(generate.sampling.min_p, 0.25F);
  EXPECT_EQ(generate.sampling.seed, 12345678901U);
  EXPECT_EQ(generate.sampling.presence_penalty, 0.5F);
  EXPECT_EQ(generate.sampling.frequency_penalty, -0.5F);
  EXPECT_EQ(generate.sampling.n_logprobs, 4);
  EXPECT_THAT(generate.sampling.logit_bias, ElementsAre(Pair(5, -100.0F), Pair(6, 1.5F)));
  EXPECT_TRUE(request.response.stream);
  EXPECT_TRUE(request.response.include_usage);
  EXPECT_FALSE(request.has_tools || request.has_images || request.unsupported);
}

std::string TextOf(const ApiPrompt& prompt) {
  return std::get<std::string>(std::get<MixedPrompt>(prompt).at(0));
}
std::vector<Token> TokensOf(const ApiPrompt& prompt, size_t piece = 0) {
  return std::get<std::vector<Token>>(std::get<MixedPrompt>(prompt).at(piece));
}

TEST(ApiRequest, ReadsPromptsOfTextAndTokens) {
  const auto prompts = [](const char* body) { return Parsed(ApiKind::kCompletion, body).prompts; };
  EXPECT_EQ(TextOf(prompts(R"({"prompt": "hi"})").at(0)), "hi");
  EXPECT_EQ(TextOf(prompts(R"({"prompt": ["hi", "ho"]})").at(1)), "ho");
  EXPECT_THAT(TokensOf(prompts(R"({"prompt": [1, 2]})").at(0)), ElementsAre(1, 2));
  EXPECT_THAT(TokensOf(prompts(R"({"prompt": [[7], [8, 9]]})").at(1)), ElementsAre(8, 9));
  const auto mixed = Parsed(ApiKind::kNative, R"({"prompt": [1, "hi", 2, 3]})").prompts;
  ASSERT_EQ(mixed.size(), 1U);
  EXPECT_THAT(TokensOf(mixed[0], 0), ElementsAre(1));
  EXPECT_THAT(TokensOf(mixed[0], 2), ElementsAre(2, 3));
  EXPECT_EQ(TextOf(Parsed(ApiKind::kNative, R"({"prompt": {"prompt_string": "x"}})").prompts[0]),
            "x");
}

TEST(ApiRequest, DefaultsAreThoseOfEachApi) {
  const ApiRequest completion =
      Parsed(ApiKind::kCompletion, R"({"prompt": "hi", "temperature": null, "seed": -1})");
  EXPECT_EQ(completion.Generate({}).max_tokens, 16U);
  EXPECT_EQ(completion.Generate({}).sampling.temperature, 1.0F);
  EXPECT_EQ(completion.Generate({}).sampling.n_logprobs, -1);
  EXPECT_FALSE(completion.response.stream);
  EXPECT_EQ(completion.response.n, 1U);
  const GenerateRequest chat =
      Generated(ApiKind::kChat, R"({"messages": [{"role": "user", "content": "hi"}]})");
  EXPECT_EQ(chat.max_tokens, std::nullopt);
  const GenerateRequest native = Generated(ApiKind::kNative, R"({"prompt": "hi"})");
  EXPECT_EQ(native.max_tokens, std::nullopt);
  EXPECT_EQ(native.sampling.temperature, SamplingParams().temperature);
}

TEST(ApiRequest, TheServersDefaultsStandInForFields) {
  AnswerDefaults defaults;
  defaults.native.temperature = 0.25F;
  defaults.openai.temperature = 0.5F;
  defaults.openai.logit_bias = {{3, 1.0F}};
  defaults.max_tokens = 9;
  defaults.seed = 11;
  const auto generated = [&](ApiKind kind, const char* body) {
    return Parsed(kind, body).Generate(defaults);
  };
  const GenerateRequest native = generated(ApiKind::kNative, R"({"prompt": "a"})");
  EXPECT_EQ(native.sampling.temperature, 0.25F);
  EXPECT_EQ(native.sampling.seed, 11U);
  const GenerateRequest silent = generated(ApiKind::kCompletion, R"({"prompt": "a"})");
  EXPECT_EQ(silent.sampling.temperature, 0.5F);
  EXPECT_EQ(silent.max_tokens, 9U);
  const GenerateRequest other = generated(
      ApiKind::kCompletion, R"({"prompt": "a", "temperature": 2, "max_tokens": 4, "seed": 5,)"
                            R"("logit_bias": {"4": 2}})");
  EXPECT_EQ(other.sampling.temperature, 2.0F);
  EXPECT_EQ(other.max_tokens, 4U);
  EXPECT_EQ(other.sampling.seed, 5U);
  EXPECT_THAT(other.sampling.logit_bias, ElementsAre(Pair(3, 1.0F), Pair(4, 2.0F)));
  const GenerateRequest endless =
      generated(ApiKind::kCompletion, R"({"prompt": "a", "max_tokens": -1})");
  EXPECT_EQ(endless.max_tokens, std::nullopt) << "it asks for no limit";
}

TEST(ApiRequest, ReadsLlamaCppsFields) {
  const ApiRequest request =
      Parsed(ApiKind::kNative,
             R"({"prompt": "a", "n_predict": 5, "n_keep": -1, "n_probs": 2, "return_tokens": true,
          "cache_prompt": false, "id_slot": -1, "mirostat": 0, "dry_multiplier": 0.0, "lora": [],
          "timings_per_token": true, "logit_bias": [[5, 1.5], [6, false]], "grammar": ""})");
  const GenerateRequest generate = request.Generate({});
  EXPECT_EQ(generate.max_tokens, 5U);
  EXPECT_EQ(request.response.n_keep, -1);
  EXPECT_EQ(generate.sampling.n_logprobs, 2);
  EXPECT_TRUE(request.response.return_tokens);
  EXPECT_TRUE(request.response.timings_per_token);
  EXPECT_THAT(generate.sampling.logit_bias,
              ElementsAre(Pair(5, 1.5F), Pair(6, -std::numeric_limits<float>::infinity())));
  EXPECT_EQ(Generated(ApiKind::kNative, R"({"prompt": "a", "n_predict": -1})").max_tokens,
            std::nullopt);
}

TEST(ApiRequest, AnEchoWithLogprobsWantsThePromptsToo) {
  const auto wants = [](const char* body) {
    return Generated(ApiKind::kCompletion, body).prompt_logprobs;
  };
  EXPECT_TRUE(wants(R"({"prompt": "a", "echo": true, "logprobs": 0, "max_tokens": 0})"));
  EXPECT_FALSE(wants(R"({"prompt": "a", "echo": true})"));
  EXPECT_FALSE(wants(R"({"prompt": "a", "echo": true, "logprobs": false})"));
  EXPECT_FALSE(wants(R"({"prompt": "a", "logprobs": 3})"));
}

TEST(ApiRequest, NamesWhatIsWrong) {
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
            "'prompt' is [1,-2], expected a text or a list of token ids");
  EXPECT_EQ(CompletionError(R"({"prompt": ["a", 5]})"),
            R"('prompt' is ["a",5], expected a text or a list of token ids)");
  EXPECT_EQ(NativeError(R"({"prompt": ["a", {}]})"),
            "'prompt' is {}, expected a text, or a list of token ids and texts");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "temperature": "hot"})"),
            R"('temperature' is "hot", expected a number from 0 to 100)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "top_p": 1.5})"),
            "'top_p' is 1.5, expected a number from 0 to 1");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "max_tokens": -7})"),
            "'max_tokens' is -7, expected a whole number from -1 to 2147483647");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "max_tokens": 1.5})"),
            "'max_tokens' is 1.5, expected a whole number from -1 to 2147483647");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0})"),
            "'max_tokens' is 0, expected at least 1, or -1 for no limit");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "n": 1000})"),
            "'n' is 1000, expected a whole number from 1 to 128");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stream": "yes"})"),
            R"('stream' is "yes", expected true or false)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stop": 3})"),
            "'stop' is 3, expected a text or a list of at most 16 texts");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "logit_bias": {"x": 1}})"),
            R"('logit_bias' is {"x":1}, expected an object of token ids and numbers)");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "stream_options": 1})"),
            "'stream_options' is 1, expected an object");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "logprobs": true})"),
            "'logprobs' is true, expected a whole number from 0 to 100");
}

TEST(ApiRequest, RefusesWhatItCannotHonour) {
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "best_of": 1, "echo": false, "suffix": ""})"),
            "no error");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "best_of": 2})"), "'best_of' is not supported");
  EXPECT_EQ(CompletionError(R"({"prompt": "a", "response_format": {"type": 5}})"),
            "'response_format' is not supported");
  const std::string messages = R"({"messages": [{"role": "user", "content": "x"}], )";
  EXPECT_EQ(ChatError(messages + R"("response_format": {"type": "json_schema"}})"),
            "'response_format' is not supported");
  EXPECT_EQ(ChatError(messages + R"("tools": [{"type": "function"}]})"),
            "'tools' is not supported");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})"),
            R"('messages[0].content' has a part of type "image_url", only text is supported)");
  EXPECT_EQ(NativeError(R"({"prompt": "a", "grammar": "root ::= x"})"),
            "'grammar' is not supported");
  EXPECT_EQ(NativeError(R"({"prompt": "a", "mirostat": 2})"), "'mirostat' is not supported");
  EXPECT_EQ(NativeError(R"({"prompt": "a", "top_n_sigma": 0, "t_max_predict_ms": -1})"),
            "no error");
  EXPECT_EQ(ChatError(R"({"messages": [{"role": "assistant", "tool_calls": [{}]}]})"),
            "'messages[0].tool_calls' is not supported");
  EXPECT_EQ(ChatError(messages + R"("top_logprobs": 2})"),
            "'top_logprobs' is 2, expected nothing, unless 'logprobs' is true");
}

/// Routes may go by what no model can do yet: such a request is refused after it.
TEST(ApiRequest, WhatItCannotHonourIsReadAllTheSame) {
  const ApiRequest request = Parsed(ApiKind::kChat, R"({"tools": [{"type": "function"}],
      "messages": [{"role": "user", "content": [{"type": "image_url"},
                                                {"type": "text", "text": "what is it?"}]}]})");
  EXPECT_TRUE(request.has_tools);
  EXPECT_TRUE(request.has_images);
  EXPECT_EQ(std::get<Conversation>(request.prompts.at(0)).at(0).content, "what is it?");
  ASSERT_TRUE(request.unsupported);
  EXPECT_EQ(request.unsupported->message, "'tools' is not supported");
  // What makes no sense is an error of the body, whatever else it asks for.
  EXPECT_THAT(ChatError(R"({"tools": [{}], "messages": []})"), HasSubstr("'messages' is []"));
}

TEST(ApiRequest, InvalidUtf8InABodyIsAnError) {
  EXPECT_THAT(CompletionError("{\"prompt\": \"\xff\"}"), HasSubstr("the body is not JSON"));
}

}  // namespace
}  // namespace quern
