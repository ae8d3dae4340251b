#include "runtime/engine/engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "runtime/forward/executor.h"
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
  FinishReason reason = FinishReason::kEndOfGeneration;
  GenerateStats stats;

  EventSink Sink() {
    return [this](const GenerateEvent& event) {
      EXPECT_EQ(n_finished, 0);
      if (event.token) tokens.push_back(event.token->token);
      text += event.text;
      n_finished += event.finished ? 1 : 0;
      reason = event.finish_reason;
      stats = event.stats;
    };
  }
};

/// And log-probabilities of prompts, and embeddings.
struct Told {
  Heard heard;
  std::vector<float> logprobs;
  std::vector<float> embedding;

  EventSink Sink() {
    return [this, sink = heard.Sink()](const GenerateEvent& event) {
      sink(event);
      for (const SampledToken& token : event.prompt_logprobs) logprobs.push_back(token.logprob);
    };
  }
  EmbedSink SinkOfEmbedding() {
    return [this](const Embedding& told) {
      ++heard.n_finished;
      if (told.is_cancelled()) heard.reason = FinishReason::kCancelled;
      embedding = told.values;
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
  static GenerateRequest Request(size_t n_prompt, std::optional<size_t> max_tokens,
                                 uint64_t seed = 1) {
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
  ASSERT_TRUE(NewEngine({.n_ctx = 100})->Generate(Request(90, std::nullopt), heard.Sink()));
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

/// A pool too small for all at once: answers that outgrow it are put back, run again later, and end
/// as if they had been alone.
TEST_F(EngineTest, AnswersThatOutgrowThePoolAreThoseOfRequestsAlone) {
  const auto engine = NewEngine({.n_ctx = 4 * kPageTokens, .kv_tokens = 5 * kPageTokens});
  std::vector<GenerateRequest> requests;
  std::vector<Heard> heard(6);
  for (size_t i = 0; i < heard.size(); ++i) {
    requests.push_back(Request(20 + 30 * i, 2 * kPageTokens - 10 * i, i));
    ASSERT_TRUE(engine->Submit(requests[i], heard[i].Sink()));
  }
  while (engine->Step()) {
    const EngineStatus status = engine->status();
    EXPECT_LE(status.pages_in_use + status.pages_cached, status.pages_total);
  }
  EXPECT_GT(engine->status().preemptions, 0U);
  EXPECT_EQ(engine->status().pages_in_use, 0U);
  for (size_t i = 0; i < heard.size(); ++i) EXPECT_EQ(heard[i].tokens, Alone(requests[i])) << i;
}

TEST_F(EngineTest, RequestsAreAdmittedInOrder) {
  const auto engine = NewEngine({.max_running = 1});
  std::vector<Heard> heard(4);
  std::vector<size_t> order;
  for (size_t i = 0; i < heard.size(); ++i) {
    ASSERT_TRUE(engine->Submit(Request(70 - 10 * i, 5, i), [&, i](const auto& event) {
      if (event.finished) order.push_back(i);
    }));
  }
  while (engine->Step()) {
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST_F(EngineTest, AShortPromptIsReadBeforeTheRestOfALongOne) {
  const auto engine = NewEngine({.chunk_tokens = 50});
  size_t n_steps = 0;
  size_t long_done = 0;
  size_t short_done = 0;
  ASSERT_TRUE(engine->Submit(Request(1000, 1, 1), [&](const auto&) { long_done = n_steps; }));
  EXPECT_TRUE(engine->Step());
  ASSERT_TRUE(engine->Submit(Request(50, 1, 2), [&](const auto&) { short_done = n_steps; }));
  do {
    ++n_steps;
  } while (engine->Step());
  EXPECT_EQ(short_done, 1U);
  EXPECT_EQ(long_done, 20U);
}

/// Requests for the same prompt that come together, as the choices of one request do.
TEST_F(EngineTest, APromptIsReadOnceForAllWhoShareIt) {
  const auto engine = NewEngine({.chunk_tokens = 100});
  std::vector<Heard> heard(4);
  GenerateRequest request = Request(300, 8);
  for (size_t i = 0; i < heard.size(); ++i) {
    request.sampling.seed = i;
    ASSERT_TRUE(engine->Submit(request, heard[i].Sink()));
  }
  GenerateRequest other = Request(40, 3, 9);  // is not held up by those who wait for the prompt
  Heard passing;
  ASSERT_TRUE(engine->Submit(other, passing.Sink()));
  EXPECT_TRUE(engine->Step());
  EXPECT_EQ(engine->status().n_running, 2U);
  while (engine->Step()) {
  }
  for (size_t i = 0; i < heard.size(); ++i) {
    EXPECT_EQ(heard[i].stats.cached_tokens, i > 0 ? 4 * kPageTokens : 0);
    request.sampling.seed = i;
    EXPECT_EQ(heard[i].tokens, Alone(request)) << i;
  }
  EXPECT_EQ(passing.tokens, Alone(other));
}

TEST_F(EngineTest, AFullContextIsShiftedWhereThatIsAsked) {
  constexpr size_t kContext = 100;
  constexpr size_t kKeep = 10;
  GenerateRequest request = Request(30, 120);
  request.sampling.temperature = 0;
  request.context_shift_keep = kKeep;
  Heard heard;
  ASSERT_TRUE(NewEngine({.n_ctx = kContext})->Generate(request, heard.Sink()));
  ASSERT_EQ(heard.tokens.size(), 120U);
  EXPECT_EQ(heard.stats.n_shifts, 2U);

  // What follows a shift is what follows the tokens that were kept.
  std::vector<Token> tokens = request.prompt;
  tokens.insert(tokens.end(), heard.tokens.begin(), heard.tokens.begin() + kContext + 1 - 30);
  tokens.erase(tokens.begin() + kKeep, tokens.begin() + kKeep + (kContext - kKeep) / 2);
  GenerateRequest rest = request;
  rest.prompt = tokens;
  rest.max_tokens = 5;
  const std::vector<Token> expected = Alone(rest);
  EXPECT_TRUE(
      std::equal(expected.begin(), expected.end(), heard.tokens.begin() + kContext + 1 - 30));
}

TEST_F(EngineTest, NothingIsGeneratedWhereNothingIsAsked) {
  Heard heard;
  const auto engine = NewEngine({.n_ctx = 100});
  EXPECT_EQ(engine->Generate(Request(100, 0), heard.Sink()).value(), "");
  EXPECT_TRUE(heard.tokens.empty());
  EXPECT_EQ(heard.n_finished, 1);
  EXPECT_EQ(heard.reason, FinishReason::kLength);
  EXPECT_EQ(engine->status().prompt_tokens, 100U);
}

/// Log-probabilities of a prompt's tokens are those that they would have as answers.
TEST_F(EngineTest, ScoresThePromptWhateverTheChunks) {
  GenerateRequest request = Request(150, 3);
  request.sampling.n_logprobs = 2;
  request.prompt_logprobs = true;
  std::vector<std::vector<SampledToken>> scores;
  for (const size_t chunk : {7, 64, 512}) {
    const auto engine = NewEngine({.chunk_tokens = chunk});
    ASSERT_TRUE(engine->Generate(Request(150, 1)));  // is cached, and does not matter
    ASSERT_TRUE(engine->Submit(Request(40, 30, 2), nullptr));
    size_t n_events = 0;
    ASSERT_TRUE(engine->Generate(request, [&](const GenerateEvent& event) {
      EXPECT_EQ(event.prompt_logprobs.empty(), n_events++ > 0);
      if (!event.prompt_logprobs.empty()) scores.push_back(event.prompt_logprobs);
    }));
  }
  ASSERT_EQ(scores.size(), 3U);
  ASSERT_EQ(scores[0].size(), request.prompt.size() - 1);
  for (size_t i = 0; i < scores[0].size(); ++i) {
    EXPECT_EQ(scores[0][i].token, request.prompt[i + 1]);
    EXPECT_EQ(scores[0][i].logprob, scores[1][i].logprob);
    EXPECT_EQ(scores[0][i].logprob, scores[2][i].logprob);
    ASSERT_EQ(scores[0][i].top.size(), 2U);
  }
  GenerateRequest shorter = Request(150, 1);
  shorter.prompt.resize(100);
  shorter.sampling.n_logprobs = 1;
  shorter.sampling.logit_bias = {{request.prompt[100], 1e6F}};
  ASSERT_TRUE(NewEngine()->Generate(shorter, [&](const GenerateEvent& event) {
    EXPECT_EQ(event.token->token, request.prompt[100]);
    EXPECT_EQ(event.token->logprob, scores[0][99].logprob);
    EXPECT_EQ(event.token->top[0].token, scores[0][99].top[0].token);
  }));
}

/// Embeddings have length 1, do not depend on chunks and neighbours, and tell texts apart.
TEST_F(EngineTest, EmbedsPrompts) {
  const auto embed = [](Pooling pooling, uint64_t seed, size_t chunk) {
    const auto engine = NewEngine({.chunk_tokens = chunk});
    EXPECT_TRUE(engine->Submit(Request(20, 9, 3), nullptr));
    const Embedding embedding =
        engine->Embed({.prompt = Request(130, 0, seed).prompt, .pooling = pooling}).value();
    EXPECT_FALSE(embedding.cancelled);
    EXPECT_EQ(embedding.stats.prompt_tokens, 130U);
    return embedding.values;
  };
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    const std::vector<float> embedding = embed(pooling, 1, 512);
    ASSERT_EQ(embedding.size(), model_->hparams().n_embd);
    double square = 0;
    for (const float x : embedding) square += double{x} * x;
    EXPECT_NEAR(square, 1, 1e-5);
    EXPECT_EQ(embed(pooling, 1, 13), embedding);
    EXPECT_NE(embed(pooling, 2, 512), embedding);
  }
  EXPECT_NE(embed(Pooling::kMean, 1, 512), embed(Pooling::kLast, 1, 512));
}

TEST_F(EngineTest, TellsWhatItHolds) {
  const auto engine = NewEngine({.n_ctx = 1024, .max_running = 1});
  ASSERT_TRUE(engine->Submit(Request(130, 3), nullptr));
  ASSERT_TRUE(engine->Submit(Request(10, 3, 2), nullptr));
  EXPECT_EQ(engine->status().n_waiting, 2U);
  EXPECT_TRUE(engine->Step());
  const EngineStatus status = engine->status();
  EXPECT_EQ(status.n_running, 1U);
  EXPECT_EQ(status.n_waiting, 1U);
  ASSERT_EQ(status.requests.size(), 2U);
  EXPECT_EQ(status.requests[0].phase, RequestPhase::kDecode);
  EXPECT_EQ(status.requests[0].processed_tokens, 130U);
  EXPECT_EQ(status.requests[0].generated_tokens, 1U);
  EXPECT_EQ(status.requests[1].phase, RequestPhase::kWaiting);
  EXPECT_EQ(status.n_ctx, 1024U);
  EXPECT_EQ(status.pages_total, 1024 / kPageTokens);
  EXPECT_EQ(status.pages_in_use, 3U);
  EXPECT_EQ(status.prompt_tokens, 130U);
  while (engine->Step()) {
  }
  EXPECT_EQ(engine->status().prompt_tokens, 140U);
  EXPECT_EQ(engine->status().generated_tokens, 6U);
  EXPECT_EQ(engine->status().decoded_rows, 4U);
  EXPECT_EQ(engine->status().pages_in_use, 0U);
  EXPECT_EQ(engine->status().pages_cached, 2U);
}

constexpr uint64_t kSeedsOfATest = 10;

class EngineSeedsTest : public EngineTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  static RequestId Submit(Engine& engine,
                          const std::variant<GenerateRequest, EmbedRequest>& request, Told* told) {
    if (const auto* embed = std::get_if<EmbedRequest>(&request)) {
      return engine.Submit(*embed, told->SinkOfEmbedding()).value();
    }
    return engine.Submit(std::get<GenerateRequest>(request), told->Sink()).value();
  }
};

/// Of all kinds, in small pools, sharing beginnings, some cancelled: each ends once, with what it
/// gives alone, and nothing is left behind.
TEST_P(EngineSeedsTest, ManyKindsOfRequestsInSmallPools) {
  for (uint64_t seed = GetParam(); seed < GetParam() + kSeedsOfATest; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    const size_t n_ctx = (2 + below(4)) * kPageTokens;
    const auto engine = NewEngine({.n_ctx = n_ctx,
                                   .kv_tokens = n_ctx + below(3) * kPageTokens,
                                   .max_running = 1 + below(6),
                                   .chunk_tokens = 8 + below(200)});
    std::vector<std::variant<GenerateRequest, EmbedRequest>> requests;
    for (size_t i = 0; i < 8; ++i) {
      const size_t n_prompt = 1 + below(n_ctx - 1);
      GenerateRequest request = Request(n_prompt, below(2 * kPageTokens), 100 + i);
      const std::vector<Token> beginning = RandomTokens(n_ctx, model_->hparams().n_vocab, below(2));
      std::copy_n(beginning.begin(), below(n_prompt + 1), request.prompt.begin());
      switch (below(5)) {
        case 0:
          requests.emplace_back(
              EmbedRequest{.prompt = std::move(request.prompt),
                           .pooling = below(2) == 0 ? Pooling::kMean : Pooling::kLast});
          continue;
        case 1:
          request.prompt_logprobs = true;
          request.sampling.n_logprobs = 1;
          break;
        case 2:
          request.context_shift_keep = below(n_ctx);
          break;
        default:
          break;
      }
      requests.emplace_back(std::move(request));
    }
    std::vector<Told> told(requests.size());
    std::vector<RequestId> ids;
    for (size_t i = 0; i < requests.size(); ++i) {
      ids.push_back(Submit(*engine, requests[i], &told[i]));
      for (size_t n = below(4); n > 0; --n) engine->Step();
    }
    engine->Cancel(ids[below(ids.size())]);
    size_t n_steps = 0;
    while (engine->Step()) ASSERT_LT(++n_steps, 20000U) << seed;
    EXPECT_EQ(engine->status().n_waiting, 0U) << seed;
    EXPECT_EQ(engine->status().pages_in_use, 0U) << seed;
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_EQ(told[i].heard.n_finished, 1) << seed << ' ' << i;
      if (told[i].heard.reason == FinishReason::kCancelled) continue;
      Told alone;
      const auto other = NewEngine({.n_ctx = n_ctx});
      Submit(*other, requests[i], &alone);
      while (other->Step()) {
      }
      EXPECT_EQ(told[i].heard.tokens, alone.heard.tokens) << seed << ' ' << i;
      EXPECT_EQ(told[i].embedding, alone.embedding) << seed << ' ' << i;
      EXPECT_EQ(told[i].logprobs, alone.logprobs) << seed << ' ' << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(From, EngineSeedsTest, ::testing::Range<uint64_t>(0, 60, kSeedsOfATest));

/// A prompt that is computed again though it is cached takes the cached pages for its own, which
/// are then not counted as free to take.
TEST_F(EngineTest, PagesThatAreComputedTwiceAreKeptOnce) {
  const auto engine = NewEngine({.n_ctx = 4 * kPageTokens});
  GenerateRequest request = Request(2 * kPageTokens + 2, 1);
  ASSERT_TRUE(engine->Generate(request));
  request.prompt.resize(2 * kPageTokens + 12, 1);
  request.max_tokens = 100;
  request.prompt_logprobs = true;
  request.sampling.n_logprobs = 0;
  Heard heard;
  ASSERT_TRUE(engine->Generate(request, heard.Sink()));
  EXPECT_EQ(heard.tokens.size(), 100U);
  EXPECT_EQ(engine->status().preemptions, 0U);
}

/// The prompt's full pages are shared with the cache when the context is shifted.
TEST_F(EngineTest, AShiftNeedsNoMoreThanThePool) {
  for (const size_t n_pages : {2, 4}) {
    GenerateRequest request = Request(n_pages * kPageTokens - 28, 300);
    request.context_shift_keep = 10;
    Heard heard;
    ASSERT_TRUE(NewEngine({.n_ctx = n_pages * kPageTokens})->Generate(request, heard.Sink()));
    EXPECT_EQ(heard.tokens.size(), 300U);
    EXPECT_EQ(heard.n_finished, 1);
  }
}

TEST_F(EngineTest, CancelEndsARequestAndFreesItsPages) {
  const auto engine = NewEngine({.n_ctx = 2 * kPageTokens, .max_running = 1});
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
  EXPECT_EQ(heard.reason, FinishReason::kStopText);
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
  EXPECT_EQ(heard.reason, FinishReason::kEndOfGeneration);
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
  // Six pages: two are in use, two are cached, two are free; four, and one for the answer that
  // runs, cannot be had.
  const Result<RequestId> waiting = engine->Submit(Request(4 * kPageTokens, 10, 3), nullptr);
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
  EXPECT_EQ(message(Request(101, 0)),
            "the prompt has 101 tokens, and the context of 100 must hold it");
  GenerateRequest request = Request(3, 1);
  request.prompt[2] = -1;
  EXPECT_THAT(message(request), HasSubstr("token 2 of the prompt is -1, expected 0 to "));
  request = Request(3, 1);
  request.sampling.top_p = 2;
  EXPECT_THAT(message(request), HasSubstr("top_p"));
  EXPECT_EQ(message(Request(99, 1)), "no error");
}

/// A device of another kind, as the engine sees it: here the same arithmetic, counted.
class CountingPass final : public ForwardPass {
 public:
  explicit CountingPass(std::unique_ptr<ForwardPass> inner, size_t* n_steps)
      : inner_(std::move(inner)), n_steps_(n_steps) {}
  KvPool& pool() override { return inner_->pool(); }
  size_t max_rows() const override { return inner_->max_rows(); }
  std::span<const float> Forward(std::span<const BatchPart> parts) override {
    ++*n_steps_;
    return inner_->Forward(parts);
  }
  std::span<const float> hidden() const override { return inner_->hidden(); }
  void ForEach(size_t n, const std::function<void(size_t)>& body) override {
    for (size_t i = n; i-- > 0;) body(i);
  }
  void SetTrace(StepTrace* trace) override { inner_->SetTrace(trace); }

 private:
  std::unique_ptr<ForwardPass> inner_;
  size_t* n_steps_;
};

TEST_F(EngineTest, RunsOnTheForwardPassItIsGiven) {
  size_t n_steps = 0;
  auto executor = Executor::Create(model_, {.n_pages = 8, .n_threads = 1, .max_rows = 32});
  ASSERT_TRUE(executor);
  auto engine = Engine::Create(model_, {.n_ctx = 4 * kPageTokens},
                               std::make_unique<CountingPass>(*std::move(executor), &n_steps));
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->options().kv_tokens, 8 * kPageTokens);
  EXPECT_EQ((*engine)->options().chunk_tokens, 32U);
  const GenerateRequest first = Request(100, 10, 1);
  const GenerateRequest second = Request(20, 10, 2);
  Heard heard_first;
  Heard heard_second;
  ASSERT_TRUE((*engine)->Submit(first, heard_first.Sink()));
  ASSERT_TRUE((*engine)->Submit(second, heard_second.Sink()));
  while ((*engine)->Step()) {
  }
  EXPECT_EQ(heard_first.tokens, Alone(first));
  EXPECT_EQ(heard_second.tokens, Alone(second));
  EXPECT_GE(n_steps, 13U) << "four chunks of the long prompt at least, and nine tokens";

  auto small = Executor::Create(model_, {.n_pages = 1, .n_threads = 1, .max_rows = 32});
  ASSERT_TRUE(small);
  EXPECT_FALSE(Engine::Create(model_, {.n_ctx = 4 * kPageTokens}, *std::move(small)));
}

}  // namespace
}  // namespace quern
