#include "runtime/engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/tiny_model.h"
#include "tests/testing/vocabulary_file.h"

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

/// "Once upon a" and "time there" make "Once upon a time there".
TEST_F(EngineTest, AnAnswerKeepsItsFirstSpace) {
  testing::VocabularyFile vocabulary("llama");
  vocabulary.Add("<unk>", TokenType::kUnknown).Add("<s>", TokenType::kControl);
  vocabulary.Add("</s>", TokenType::kControl).Add("\u2581a").Add("\u2581time").Add("\u2581there");
  for (int i = 0; i < 300; ++i) vocabulary.Add(fmt::format("w{}", i));  // a model's least size
  vocabulary.writer().SetUint32("tokenizer.ggml.bos_token_id", 1);
  const testing::TinyModel tiny({}, &vocabulary.file());
  const auto engine = Engine::Create(tiny.Load(), {.n_threads = 1}).value();
  GenerateRequest request;
  request.prompt = engine->model().EncodePrompt("a");
  request.max_tokens = 2;
  request.sampling.temperature = 0;
  request.sampling.logit_bias = {{4, 1e6F}};
  EXPECT_EQ(engine->Generate(request).value(), " time time");
}

/// Every event may make its listener submit, and cancel itself and others.
TEST_F(EngineTest, SinksMaySubmitAndCancel) {
  const auto engine = NewEngine();
  std::vector<RequestId> ids;
  size_t n_events = 0;
  size_t n_finished = 0;
  size_t n_submitted = 0;
  std::function<void()> submit;
  const auto sink = [&](const GenerateEvent& event) {
    ++n_events;
    if (n_submitted < 20) submit();
    if (n_events % 3 == 0) engine->Cancel(ids[n_events % ids.size()]);
    if (event.finished) {
      ++n_finished;
      for (const RequestId id : ids) engine->Cancel(id - id % 2);
    }
  };
  submit = [&] {
    const Result<RequestId> id =
        engine->Submit(Request(5 + n_submitted, 1 + n_submitted % 4, n_submitted), sink);
    ASSERT_TRUE(id);
    ids.push_back(*id);
    ++n_submitted;
  };
  for (int i = 0; i < 3; ++i) submit();
  while (engine->Step()) {
  }
  EXPECT_EQ(n_submitted, 20U);
  EXPECT_EQ(n_finished, 20U);
  Heard last;
  EXPECT_TRUE(engine->Generate(Request(10, 5), last.Sink()));
  EXPECT_EQ(last.tokens, Alone(Request(10, 5)));
}

/// A request that waits for room leaves the cache to those that can use it.
TEST_F(EngineTest, WaitingDoesNotEmptyTheCache) {
  const auto engine = NewEngine({.n_ctx = 6 * kPageTokens});
  const GenerateRequest cached = Request(2 * kPageTokens + 5, 10, 1);
  ASSERT_TRUE(engine->Generate(cached));
  ASSERT_TRUE(engine->Submit(Request(2 * kPageTokens, kPageTokens, 2), nullptr));
  EXPECT_TRUE(engine->Step());
  // Six pages: three are in use, two are cached, one is free; four cannot be had.
  const Result<RequestId> waiting = engine->Submit(Request(4 * kPageTokens - 20, 10, 3), nullptr);
  EXPECT_TRUE(engine->Step());
  engine->Cancel(*waiting);
  Heard again;
  ASSERT_TRUE(engine->Generate(cached, again.Sink()));
  EXPECT_EQ(again.stats.cached_tokens, 2 * kPageTokens);
}

TEST_F(EngineTest, RefusesWhatNoMemoryHolds) {
  const auto message = [&](const EngineOptions& options) {
    const auto engine = Engine::Create(model_, options);
    return engine ? "no error" : engine.error().message;
  };
  EXPECT_THAT(message({.n_ctx = SIZE_MAX}), HasSubstr("KV cache"));
  EXPECT_THAT(message({.n_ctx = SIZE_MAX / 4096}), HasSubstr("KV cache"));
  EXPECT_THAT(message({.chunk_tokens = SIZE_MAX}), HasSubstr("expected at most"));
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
