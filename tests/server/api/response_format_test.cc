#include "server/api/response_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

class ResponseFormatTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    tokenizer_ = std::make_unique<Tokenizer>(Tokenizer::Load(*file).value());
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }

  static ResponseContext Context(size_t n = 1) {
    ResponseContext context;
    context.tokenizer = tokenizer_.get();
    context.model_id = "demo";
    context.fingerprint = "quern-1";
    context.id = "id-1";
    context.created = 5;
    context.options.n = n;
    context.prompts = {tokenizer_->Encode("ab")};
    return context;
  }
  static std::vector<SampledToken> Tokens(std::string_view text) {
    std::vector<SampledToken> tokens;
    for (const Token token : tokenizer_->Encode(text, {.add_special = false})) {
      tokens.push_back(
          {token, -0.5F, {{token, -0.5F}, {0, -std::numeric_limits<float>::infinity()}}});
    }
    return tokens;
  }
  static Answer WholeAnswer() {
    Answer answer;
    answer.text = "hi";
    answer.tokens = Tokens("hi");
    answer.finished = true;
    answer.finish_reason = FinishReason::kLength;
    answer.stats.prompt_tokens = 3;
    answer.stats.generated_tokens = 2;
    return answer;
  }

  static std::unique_ptr<Tokenizer> tokenizer_;
};
std::unique_ptr<Tokenizer> ResponseFormatTest::tokenizer_;

/// The objects of a text of server-sent events.
std::vector<Json> Events(const std::string& text) {
  std::vector<Json> events;
  size_t at = 0;
  for (size_t end = 0; (end = text.find("\n\n", at)) != std::string::npos; at = end + 2) {
    EXPECT_EQ(text.substr(at, 6), "data: ");
    const std::string data = text.substr(at + 6, end - at - 6);
    events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
  }
  return events;
}

TEST_F(ResponseFormatTest, AWholeChat) {
  const std::vector<Answer> answers = {WholeAnswer()};
  EXPECT_EQ(NewChatFormat(Context())->Whole(answers).dump(),
            R"({"id":"id-1","object":"chat.completion","created":5,"model":"demo",)"
            R"("system_fingerprint":"quern-1",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"hi"},)"
            R"("logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,)"
            R"("completion_tokens":2,"total_tokens":5,"prompt_tokens_details":)"
            R"({"cached_tokens":0}}})");
}

TEST_F(ResponseFormatTest, AChatInParts) {
  ResponseContext context = Context();
  context.options.include_usage = true;
  const auto format = NewChatFormat(std::move(context));
  Answer part;
  EXPECT_EQ(Events(format->Part(0, part)).at(0)["choices"][0].dump(),
            R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,)"
            R"("finish_reason":null})");
  EXPECT_EQ(format->Part(0, part), "") << "nothing is told twice, and nothing empty";
  part.text = "hi";
  EXPECT_EQ(Events(format->Part(0, part)).at(0)["choices"][0]["delta"].dump(),
            R"({"content":"hi"})");
  part.text = "";
  part.finished = true;
  part.finish_reason = FinishReason::kStopText;
  EXPECT_EQ(Events(format->Part(0, part)).at(0)["choices"][0].dump(),
            R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"})");
  const std::vector<Answer> answers = {WholeAnswer()};
  const std::vector<Json> end = Events(format->End(answers));
  ASSERT_EQ(end.size(), 2U);
  EXPECT_EQ(end[0]["choices"].dump(), "[]");
  EXPECT_EQ(end[0]["usage"]["total_tokens"], 5);
  EXPECT_EQ(end[1], "[DONE]");
}

TEST_F(ResponseFormatTest, LogprobsOfAChat) {
  ResponseContext context = Context();
  context.generate.sampling.n_logprobs = 2;
  const std::vector<Answer> answers = {WholeAnswer()};
  const Json logprobs =
      NewChatFormat(std::move(context))->Whole(answers)["choices"][0]["logprobs"]["content"];
  std::string text;
  for (const Json& token : logprobs) {
    text += token["token"];
    EXPECT_EQ(token["logprob"], -0.5);
    EXPECT_EQ(token["bytes"].size(), token["token"].get<std::string>().size());
    EXPECT_EQ(token["top_logprobs"].size(), 2U);
    EXPECT_EQ(token["top_logprobs"][1]["logprob"], -9999) << "JSON has no minus infinity";
  }
  EXPECT_EQ(text, "hi");
}

TEST_F(ResponseFormatTest, LogprobsOfACompletionWithItsPrompt) {
  ResponseContext context = Context();
  context.options.echo = true;
  context.generate.sampling.n_logprobs = 1;
  Answer answer = WholeAnswer();
  const std::vector<Token> prompt = context.prompts[0];
  for (size_t i = 1; i < prompt.size(); ++i) answer.prompt_tokens.push_back({prompt[i], -1, {}});
  const std::vector<Answer> answers = {answer};
  const Json choice = NewCompletionFormat(std::move(context))->Whole(answers)["choices"][0];
  EXPECT_EQ(choice["text"], "abhi");
  const Json& logprobs = choice["logprobs"];
  const size_t n = prompt.size() + answer.tokens.size();
  for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
    EXPECT_EQ(logprobs[list].size(), n) << list;
  }
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["token_logprobs"][prompt.size() - 1], -1);
  EXPECT_EQ(logprobs["token_logprobs"][n - 1], -0.5);
  EXPECT_EQ(logprobs["text_offset"][prompt.size()], 2);
}

TEST_F(ResponseFormatTest, ACompletionInParts) {
  const auto format = NewCompletionFormat(Context());
  EXPECT_EQ(format->Part(0, Answer()), "");
  const std::vector<Json> events = Events(format->Part(0, WholeAnswer()));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].dump(),
            R"({"id":"id-1","object":"text_completion","created":5,"model":"demo",)"
            R"("system_fingerprint":"quern-1",)"
            R"("choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(events[1]["choices"][0]["finish_reason"], "length");
}

TEST_F(ResponseFormatTest, ManyAnswersCountTheirPromptOnce) {
  const std::vector<Answer> answers = {WholeAnswer(), WholeAnswer()};
  const Json response = NewCompletionFormat(Context(2))->Whole(answers);
  EXPECT_EQ(response["choices"][1]["index"], 1);
  EXPECT_EQ(response["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(response["usage"]["completion_tokens"], 4);
}

TEST_F(ResponseFormatTest, LlamaCppsOwn) {
  ResponseContext context = Context();
  context.options.return_tokens = true;
  context.generate.sampling.n_logprobs = 1;
  const std::vector<Answer> answers = {WholeAnswer()};
  const Json whole = NewNativeFormat(std::move(context))->Whole(answers);
  EXPECT_EQ(whole["content"], "hi");
  EXPECT_EQ(whole["stop"], true);
  EXPECT_EQ(whole["stop_type"], "limit");
  EXPECT_EQ(whole["tokens"].size(), answers[0].tokens.size());
  EXPECT_EQ(whole["completion_probabilities"].size(), answers[0].tokens.size());
  EXPECT_EQ(whole["timings"]["prompt_n"], 3);
  EXPECT_EQ(whole["has_new_line"], false);

  const auto format = NewNativeFormat(Context());
  Answer part;
  part.text = "a\n";
  const std::vector<Json> first = Events(format->Part(0, part));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0]["content"], "a\n");
  EXPECT_EQ(first[0]["stop"], false);
  const std::vector<Json> last = Events(format->Part(0, WholeAnswer()));
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(last[1]["content"], "");
  EXPECT_EQ(last[1]["has_new_line"], true);
  EXPECT_EQ(format->End(answers), "");
}

/// Tokens appear with the text that they made; those of a stop text do not.
TEST_F(ResponseFormatTest, TokensOfAStopTextDoNotAppear) {
  const auto event = [](const char* token, const char* text) {
    GenerateEvent made;
    made.token = Tokens(token).at(0);
    made.text = text;
    return made;
  };
  const auto first_piece = [](const char* text) {
    return tokenizer_->Piece(Tokens(text).at(0).token);
  };
  AnswerBuilder builder(*tokenizer_);
  EXPECT_EQ(builder.Add(event("a", first_piece("a").c_str())).tokens.size(), 1U);
  EXPECT_TRUE(builder.Add(event("b", "")).tokens.empty()) << "it may begin a stop text";
  GenerateEvent last = event("c", "");
  last.finished = true;
  last.finish_reason = FinishReason::kStopText;
  last.stop_text = "bc";
  EXPECT_TRUE(builder.Add(last).tokens.empty());

  AnswerBuilder other(*tokenizer_);
  EXPECT_TRUE(other.Add(event("b", "")).tokens.empty());
  last = event("c", (first_piece("b") + first_piece("c")).c_str());
  last.finished = true;
  last.finish_reason = FinishReason::kLength;
  EXPECT_EQ(other.Add(last).tokens.size(), 2U);
}

}  // namespace
}  // namespace quern
