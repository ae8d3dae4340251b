#include "runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RandomTokens;

/// Everything that a sink was told.
struct Heard {
  std::vector<Token> tokens;
  std::string text;
  int n_finished = 0;
  FinishReason reason = FinishReason::kStop;
  GenerateStats stats;

  EventSink Sink() {
    return [this](const GenerateEvent& event) {
      EXPECT_EQ(n_finished, 0);
      if (!event.finished || event.finish_reason != FinishReason::kCancelled) {
        tokens.push_back(event.token.token);
      }
      text += event.text;
      n_finished += event.finished ? 1 : 0;
      reason = event.finish_reason;
      stats = event.stats;
    };
  }
};

class EngineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = testing::TinyModel({}).Load(); }
  static void TearDownTestSuite() { model_.reset(); }

  static std::unique_ptr<Engine> NewEngine(EngineOptions options = {}) {
    options.n_threads = 1;
    return Engine::Create(model_, options).value();
  }
  static GenerateRequest Request(size_t n_prompt, size_t max_tokens, uint64_t seed = 1) {
    GenerateRequest request;
    request.prompt = RandomTokens(n_prompt, model_->hparams().n_vocab, seed);
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    request.sampling.seed = seed;
    return request;
  }
  static std::vector<Token> Alone(const GenerateRequest& request) {
    Heard heard;
    EXPECT_TRUE(NewEngine()->Generate(request, heard.Sink()));
    return heard.tokens;
  }

  static std::shared_ptr<const Model> model_;
};
std::shared_ptr<const Model> EngineTest::model_;

TEST_F(EngineTest, GeneratesAsManyTokensAsAsked) {
  Heard heard;
  const Result<std::string> text = NewEngine()->Generate(Request(10, 7), heard.Sink());
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(heard.tokens.size(), 7U);
  EXPECT_EQ(*text, heard.text);
  EXPECT_EQ(heard.n_finished, 1);
  EXPECT_EQ(heard.reason, FinishReason::kLength);
  EXPECT_EQ(heard.stats.prompt_tokens, 10U);
  EXPECT_EQ(heard.stats.generated_tokens, 7U);
}

TEST_F(EngineTest, FillsTheContextAndNoMore) {
  Heard heard;
  ASSERT_TRUE(NewEngine({.n_ctx = 100})->Generate(Request(90, 0), heard.Sink()));
  EXPECT_EQ(heard.tokens.size(), 10U);
  EXPECT_EQ(heard.reason, FinishReason::kLength);
}

/// Sampled answers of many requests, in any company, are those that each gets alone.
TEST_F(EngineTest, NeighboursDoNotChangeAnswers) {
  const auto engine = NewEngine({.n_ctx = 2048, .chunk_tokens = 50});
  std::vector<GenerateRequest> requests;
  std::vector<Heard> heard(8);
  for (size_t i = 0; i < heard.size(); ++i) {
    requests.push_back(Request(5 + 37 * i, 3 + 5 * i, i));
    ASSERT_TRUE(engine->Submit(requests[i], heard[i].Sink()));
    if (i % 3 == 2) engine->Step();
  }
  while (engine->Step()) {
  }
  for (size_t i = 0; i < heard.size(); ++i) {
    EXPECT_EQ(heard[i].n_finished, 1);
    EXPECT_EQ(heard[i].tokens, Alone(requests[i])) << i;
  }
}

TEST_F(EngineTest, ACachedPrefixGivesTheSameAnswer) {
  const auto engine = NewEngine();
  const GenerateRequest request = Request(300, 20);
  Heard first;
  ASSERT_TRUE(engine->Generate(request, first.Sink()));
  EXPECT_EQ(first.stats.cached_tokens, 0U);

  Heard second;
  ASSERT_TRUE(engine->Generate(request, second.Sink()));
  EXPECT_EQ(second.stats.cached_tokens, 4 * kPageTokens);
  EXPECT_EQ(second.tokens, first.tokens);

  // The next turn of a conversation: the prompt goes on where the answer ended.
  GenerateRequest longer = request;
  longer.prompt.insert(longer.prompt.end(), first.tokens.begin(), first.tokens.end());
  longer.prompt.push_back(3);
  Heard third;
  ASSERT_TRUE(engine->Generate(longer, third.Sink()));
  EXPECT_EQ(third.stats.cached_tokens, 4 * kPageTokens);
  EXPECT_EQ(third.tokens, Alone(longer));
}

/// A pool too small for all at once: requests wait in order, cached pages make room, all finish.
TEST_F(EngineTest, RequestsWaitForRoomInOrder) {
  const auto engine = NewEngine({.n_ctx = 3 * kPageTokens});
  std::vector<GenerateRequest> requests;
  std::vector<Heard> heard(6);
  std::vector<size_t> order;
  for (size_t i = 0; i < heard.size(); ++i) {
    requests.push_back(Request(kPageTokens + 10, kPageTokens, i));
    ASSERT_TRUE(engine->Submit(requests[i], [&, i, sink = heard[i].Sink()](const auto& event) {
      sink(event);
      if (event.finished) order.push_back(i);
    }));
  }
  while (engine->Step()) {
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
  for (size_t i = 0; i < heard.size(); ++i) EXPECT_EQ(heard[i].tokens, Alone(requests[i])) << i;
}

TEST_F(EngineTest, CancelEndsARequestAndFreesItsPages) {
  const auto engine = NewEngine({.n_ctx = 2 * kPageTokens});
  Heard running;
  Heard waiting;
  const Result<RequestId> first = engine->Submit(Request(10, 100), running.Sink());
  const Result<RequestId> second = engine->Submit(Request(10, 100, 2), waiting.Sink());
  ASSERT_TRUE(first && second);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(engine->Step());
  EXPECT_EQ(running.tokens.size(), 5U);
  EXPECT_TRUE(waiting.tokens.empty());

  engine->Cancel(*first);
  EXPECT_TRUE(engine->Step());
  EXPECT_EQ(running.n_finished, 1);
  EXPECT_EQ(running.reason, FinishReason::kCancelled);
  EXPECT_EQ(running.tokens.size(), 5U);
  EXPECT_EQ(waiting.tokens.size(), 1U);

  engine->Cancel(*second);
  EXPECT_FALSE(engine->Step());
  EXPECT_EQ(waiting.reason, FinishReason::kCancelled);
  Heard last;
  EXPECT_TRUE(engine->Generate(Request(10, 100, 3), last.Sink()));
  EXPECT_EQ(last.tokens.size(), 100U);
}

TEST_F(EngineTest, AStopTextEndsTheAnswerBeforeIt) {
  GenerateRequest request = Request(10, 40);
  const std::string whole = NewEngine()->Generate(request).value();
  ASSERT_GT(whole.size(), 8U);
  const std::string stop = whole.substr(whole.size() / 2, 3);
  request.stop = {stop};
  Heard heard;
  const std::string text = NewEngine()->Generate(request, heard.Sink()).value();
  EXPECT_EQ(text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(heard.reason, FinishReason::kStop);
}

TEST_F(EngineTest, EndOfGenerationEndsTheAnswer) {
  GenerateRequest request = Request(10, 40);
  request.ignore_eos = false;
  Token end = 0;
  while (!model_->tokenizer().IsEndOfGeneration(end)) ++end;
  request.sampling.logit_bias = {{end, 1e6F}};
  Heard heard;
  EXPECT_EQ(NewEngine()->Generate(request, heard.Sink()).value(), "");
  EXPECT_THAT(heard.tokens, ElementsAre(end));
  EXPECT_EQ(heard.reason, FinishReason::kStop);
}

TEST_F(EngineTest, RefusesBadRequestsAndGoesOn) {
  const auto engine = NewEngine({.n_ctx = 100});
  const auto message = [&](const GenerateRequest& request) {
    const Result<std::string> text = engine->Generate(request);
    return text ? "no error" : text.error().message;
  };
  EXPECT_EQ(message({}), "the prompt has no tokens");
  EXPECT_EQ(message(Request(100, 1)),
            "the prompt has 100 tokens, and the context of 100 must hold it and at least one more");
  GenerateRequest request = Request(3, 1);
  request.prompt[2] = -1;
  EXPECT_THAT(message(request), HasSubstr("token 2 of the prompt is -1, expected 0 to "));
  request = Request(3, 1);
  request.sampling.top_p = 2;
  EXPECT_THAT(message(request), HasSubstr("top_p"));
  EXPECT_EQ(message(Request(99, 1)), "no error");
}

}  // namespace
}  // namespace quern
