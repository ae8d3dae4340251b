// Batch invariance: a sequence's logits are the same bits however the work is cut up.
#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using testing::RandomTokens;

constexpr size_t kMaxRows = 512;
/// Crosses page borders and the border of the first attention split.
constexpr size_t kLength = kSplitTokens + 90;

/// A model, its cache and its threads.
struct Machine {
  Machine(std::shared_ptr<const Model> model_in, int n_threads)
      : model(std::move(model_in)),
        pool(std::move(*KvPool::Create(model->hparams(), KvType::kF16, 256))),
        team(n_threads),
        executor(model, &pool, &team, kMaxRows) {}

  /// Logits of every position of `tokens`, run in chunks of `chunk` behind what `sequence` holds.
  std::vector<float> Run(Sequence& sequence, std::span<const Token> tokens, size_t chunk) {
    std::vector<float> all;
    while (!tokens.empty()) {
      const size_t n = std::min(chunk, tokens.size());
      EXPECT_TRUE(sequence.Reserve(n));
      const BatchPart part{&sequence, tokens.first(n), n};
      const std::span<const float> logits = executor.Forward({&part, 1});
      all.insert(all.end(), logits.begin(), logits.end());
      tokens = tokens.subspan(n);
    }
    return all;
  }

  std::shared_ptr<const Model> model;
  KvPool pool;
  ThreadTeam team;
  Executor executor;
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class ExecutorTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = testing::TinyModel({}).Load(); }
  static void TearDownTestSuite() { model_.reset(); }

  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    n_vocab_ = model_->hparams().n_vocab;
    tokens_ = RandomTokens(kLength, n_vocab_, 1);
    Machine machine(model_, 1);
    Sequence sequence(&machine.pool);
    alone_ = machine.Run(sequence, tokens_, 64);
  }

  std::span<const float> Alone(size_t position) const {
    return std::span(alone_).subspan(position * n_vocab_, n_vocab_);
  }

  static std::shared_ptr<const Model> model_;
  uint32_t n_vocab_ = 0;
  std::vector<Token> tokens_;
  std::vector<float> alone_;
};
std::shared_ptr<const Model> ExecutorTest::model_;

TEST_F(ExecutorTest, LogitsAreFiniteAndDiffer) {
  for (const float logit : alone_) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_FALSE(SameBits(Alone(0), Alone(1)));
}

TEST_F(ExecutorTest, ThreadsDoNotMatter) {
  for (const int n_threads : {2, 3}) {
    for (const size_t chunk : {size_t{1}, size_t{64}}) {
      Machine machine(model_, n_threads);
      Sequence sequence(&machine.pool);
      EXPECT_TRUE(SameBits(machine.Run(sequence, tokens_, chunk), alone_))
          << n_threads << " " << chunk;
    }
  }
}

TEST_F(ExecutorTest, ChunksDoNotMatter) {
  Machine machine(model_, 2);
  for (const size_t chunk : {1, 2, 3, 5, 7, 8, 9, 64, 65, 512}) {
    Sequence sequence(&machine.pool);
    EXPECT_TRUE(SameBits(machine.Run(sequence, tokens_, chunk), alone_)) << chunk;
  }
}

TEST_F(ExecutorTest, WantedRowsDoNotMatter) {
  Machine machine(model_, 2);
  for (const size_t n_logits : {0, 1, 5}) {
    Sequence sequence(&machine.pool);
    ASSERT_TRUE(sequence.Reserve(100));
    const BatchPart part{&sequence, std::span(tokens_).first(100), n_logits};
    const std::span<const float> logits = machine.executor.Forward({&part, 1});
    EXPECT_TRUE(SameBits(
        logits, std::span(alone_).subspan((100 - n_logits) * n_vocab_, n_logits * n_vocab_)));
    EXPECT_TRUE(SameBits(machine.Run(sequence, std::span(tokens_).subspan(100, 1), 1), Alone(100)));
  }
}

/// Float weights allow widths that no block of quantized activations divides.
TEST(Executor, RunsFloatModelsOfAnyWidth) {
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16}) {
    SyntheticModel shapes;
    shapes.type = type;
    shapes.n_embd = 60;
    shapes.n_head = 3;
    shapes.n_head_kv = 1;
    shapes.head_dim = 20;
    shapes.n_ff = 172;
    const auto model = testing::TinyModel(shapes).Load();
    const std::vector<Token> tokens = RandomTokens(20, model->hparams().n_vocab, 3);
    Machine machine(model, 2);
    Sequence first(&machine.pool);
    Sequence second(&machine.pool);
    const std::vector<float> logits = machine.Run(first, tokens, 20);
    for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
    EXPECT_TRUE(SameBits(machine.Run(second, tokens, 1), logits)) << NameOf(type);
  }
}

TEST_F(ExecutorTest, NeighboursDoNotMatter) {
  Machine machine(model_, 2);
  Sequence sequence(&machine.pool);
  std::vector<Sequence> others;
  std::vector<std::vector<Token>> other_tokens;
  for (unsigned i = 0; i < 15; ++i) {
    others.emplace_back(&machine.pool);
    other_tokens.push_back(RandomTokens(40 * 10, n_vocab_, 100 + i));
  }
  for (size_t step = 0; step < 40; ++step) {
    // Some neighbours decode, others read a chunk; the sequence itself is in the middle.
    std::vector<BatchPart> parts;
    for (size_t i = 0; i < 15; ++i) {
      if (i == 7) {
        ASSERT_TRUE(sequence.Reserve(1));
        parts.push_back({&sequence, std::span(tokens_).subspan(step, 1), 1});
      }
      const size_t n = i % 3 == 0 ? 10 : 1;
      ASSERT_TRUE(others[i].Reserve(n));
      parts.push_back(
          {&others[i], std::span(other_tokens[i]).subspan(others[i].n_past(), n), i % 2});
    }
    size_t row = 0;
    for (size_t i = 0; i < 7; ++i) row += parts[i].n_logits;
    const std::span<const float> logits = machine.executor.Forward(parts);
    ASSERT_TRUE(SameBits(logits.subspan(row * n_vocab_, n_vocab_), Alone(step))) << step;
  }
}

TEST_F(ExecutorTest, SharedAndRecomputedPrefixesAgree) {
  Machine machine(model_, 2);
  Sequence first(&machine.pool);
  machine.Run(first, tokens_, 512);
  for (const size_t n_pages : {size_t{1}, size_t{4}, kLength / kPageTokens}) {
    Sequence second(&machine.pool);
    second.Share(first.pages().first(n_pages));
    const size_t n_past = n_pages * kPageTokens;
    EXPECT_TRUE(SameBits(machine.Run(second, std::span(tokens_).subspan(n_past), 7),
                         std::span(alone_).subspan(n_past * n_vocab_)));
  }
  first.Truncate(70);
  EXPECT_TRUE(SameBits(machine.Run(first, std::span(tokens_).subspan(70), 33),
                       std::span(alone_).subspan(70 * n_vocab_)));
}

/// Many sequences under random chunks, batches, thread counts, rewinds: each position's logits
/// stay.
TEST_F(ExecutorTest, RandomSchedulesDoNotMatter) {
  std::mt19937 random(7);
  for (int round = 0; round < 6; ++round) {
    Machine machine(model_, 1 + round % 3);
    std::vector<Sequence> sequences;
    for (int i = 0; i < 5; ++i) sequences.emplace_back(&machine.pool);
    for (int step = 0; step < 30; ++step) {
      std::vector<BatchPart> parts;
      std::vector<size_t> first_position;
      size_t room = kMaxRows;
      for (Sequence& sequence : sequences) {
        if (random() % 4 == 0) continue;
        if (random() % 8 == 0) sequence.Truncate(random() % (sequence.n_past() + 1));
        const size_t left = std::min(room, kLength - sequence.n_past());
        const size_t most = random() % 2 == 0 ? 3 : 120;
        const size_t n = std::min<size_t>(left, 1 + random() % most);
        if (n == 0 || !sequence.Reserve(n)) continue;
        room -= n;
        first_position.push_back(sequence.n_past());
        parts.push_back({&sequence, std::span(tokens_).subspan(sequence.n_past(), n), n});
      }
      if (parts.empty()) continue;
      std::span<const float> logits = machine.executor.Forward(parts);
      for (size_t i = 0; i < parts.size(); ++i) {
        const size_t n = parts[i].tokens.size() * n_vocab_;
        ASSERT_TRUE(
            SameBits(logits.first(n), std::span(alone_).subspan(first_position[i] * n_vocab_, n)))
            << "round " << round << ", step " << step << ", part " << i;
        logits = logits.subspan(n);
      }
    }
  }
}

}  // namespace
}  // namespace quern
