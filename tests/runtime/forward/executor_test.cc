// Batch invariance: a sequence's logits are the same bits however the work is cut up.
#include "runtime/forward/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "runtime/forward/step_trace.h"
#include "tests/testing/cpus.h"
#include "tests/testing/memory_nodes.h"
#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using testing::RandomTokens;

constexpr size_t kMaxRows = 512;
/// Crosses page borders and the border of the first attention split.
constexpr size_t kLength = kSplitTokens + 90;

/// A model, its cache and its threads.
struct Machine {
  Machine(std::shared_ptr<const Model> model_in, int n_threads, KvTypes kv_types = {})
      : model(std::move(model_in)),
        executor_owner(Executor::Create(model, {.kv_types = kv_types,
                                                .n_pages = 256,
                                                .n_threads = n_threads,
                                                .max_rows = kMaxRows})
                           .value()),
        executor(*executor_owner),
        pool(executor.pool()),
        team(executor.team()) {}

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
  std::unique_ptr<Executor> executor_owner;
  Executor& executor;
  KvPool& pool;
  ThreadTeam& team;
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
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

  /// The logits of `tokens_`, the last of them (from within the first attention split) in chunks of
  /// `chunk` while 15 other sequences run beside it, some of them before it in the batch, with
  /// other tokens and chunks of other sizes.
  std::vector<float> RunAmong16(Machine& machine, size_t chunk) const {
    std::vector<Sequence> others;
    std::vector<std::vector<Token>> other_tokens;
    for (size_t i = 0; i < 15; ++i) {
      others.emplace_back(&machine.pool);
      other_tokens.push_back(RandomTokens(kLength, n_vocab_, 100 + i));
    }
    Sequence sequence(&machine.pool);
    std::vector<float> all =
        machine.Run(sequence, std::span(tokens_).first(kSplitTokens - 40), kMaxRows);
    while (sequence.n_past() < kLength) {
      const size_t n = std::min({chunk, kLength - sequence.n_past(), kMaxRows - 60});
      std::vector<BatchPart> parts;
      size_t rows_before = 0;
      for (size_t i = 0; i < 15; ++i) {
        if (i == 7) {
          EXPECT_TRUE(sequence.Reserve(n));
          parts.push_back({&sequence, std::span(tokens_).subspan(sequence.n_past(), n), n});
        }
        if (others[i].n_past() + 4 > 200) others[i].Truncate(0);  // as a new request would
        const size_t m = 1 + i % 4;
        EXPECT_TRUE(others[i].Reserve(m));
        const size_t n_logits = i % 2;
        parts.push_back(
            {&others[i], std::span(other_tokens[i]).subspan(others[i].n_past(), m), n_logits});
        if (i < 7) rows_before += n_logits;
      }
      const std::span<const float> logits =
          machine.executor.Forward(parts).subspan(rows_before * n_vocab_, n * n_vocab_);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
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

TEST_F(ExecutorTest, WeightsInPlaceAndPackedGiveTheSameBits) {
  const auto packed = testing::TinyModel({}).Load(LoadMode::kPack);
  ASSERT_EQ(packed->output().layout, WeightLayout::kInterleaved);
  ASSERT_EQ(model_->output().layout, WeightLayout::kRows);
  for (const size_t chunk : {3, 64, 512}) {
    Machine machine(packed, 2);
    Sequence sequence(&machine.pool);
    EXPECT_TRUE(SameBits(machine.Run(sequence, tokens_, chunk), alone_)) << chunk;
  }
}

TEST_F(ExecutorTest, MemoryNodesDoNotChangeTheBits) {
  if (testing::AllowedCpus().size() < 2) GTEST_SKIP() << "one CPU";
  const auto model =
      Model::Load(testing::TinyModel({}).Open(),
                  {.mode = LoadMode::kPack, .n_threads = 2, .nodes = testing::TwoNodes()})
          .value();
  ASSERT_EQ(model->nodes().size(), 2);
  for (const int n_threads : {1, 2, 3}) {
    for (const size_t chunk : {3, 64, 512}) {
      Machine machine(model, n_threads);
      Sequence sequence(&machine.pool);
      EXPECT_TRUE(SameBits(machine.Run(sequence, tokens_, chunk), alone_)) << chunk;
    }
  }
}

/// Whether a team of this machine ever comes together: if not, tests of threads test nothing.
bool HasThreads(ThreadTeam& team) {
  std::atomic<int> size{0};
  for (int run = 0; run < 5000 && size < team.n_threads(); ++run) {
    team.Run([&](TeamMember& member) { size = member.size(); });
  }
  return size == team.n_threads();
}

/// The design rule, over the grid of all that may differ: with 15 neighbours that read and decode,
/// the logits of every position are those of the sequence alone on one thread.
class BatchInvariance : public ExecutorTest, public ::testing::WithParamInterface<KvTypes> {};

TEST_P(BatchInvariance, NothingMatters) {
  std::vector<float> expected;
  for (const int n_threads : {1, 2, 3}) {
    Machine machine(model_, n_threads, GetParam());
    EXPECT_TRUE(HasThreads(machine.team)) << n_threads;
    for (const size_t chunk : {1, 7, 64, 512}) {
      Sequence sequence(&machine.pool);
      const std::vector<float> logits = machine.Run(sequence, tokens_, chunk);
      if (expected.empty()) expected = logits;
      EXPECT_TRUE(SameBits(logits, expected)) << n_threads << " threads, chunks of " << chunk;
      EXPECT_TRUE(SameBits(RunAmong16(machine, chunk), expected))
          << n_threads << " threads, chunks of " << chunk << ", among 16";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CacheTypes, BatchInvariance,
                         ::testing::Values(KvTypes(KvType::kF16), KvTypes(KvType::kBF16),
                                           KvTypes(KvType::kF32), KvTypes(KvType::kQ8),
                                           KvTypes(KvType::kF16, KvType::kQ8)));

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

TEST_F(ExecutorTest, ATraceHoldsEveryPartAndChangesNothing) {
  Machine machine(model_, 2);
  StepTrace trace(2);
  machine.executor.SetTrace(&trace);
  Sequence sequence(&machine.pool);
  ASSERT_TRUE(sequence.Reserve(100));
  EXPECT_TRUE(SameBits(machine.Run(sequence, std::span(tokens_).first(100), 100),
                       std::span(alone_).first(100 * n_vocab_)));
  machine.executor.SetTrace(nullptr);
  std::set<StepOp> ops;
  std::set<int> layers;
  for (int thread = 0; thread < 2; ++thread) {
    const std::span<const StepTrace::Span> spans = trace.spans(thread);
    for (size_t i = 0; i < spans.size(); ++i) {
      ops.insert(spans[i].op);
      layers.insert(spans[i].layer);
      if (i > 0) {
        EXPECT_EQ(spans[i].begin, spans[i - 1].end);
      }
    }
  }
  EXPECT_EQ(ops.size(), kStepOps - 1) << "all but sampling, which is not the executor's";
  EXPECT_EQ(layers.size(), model_->hparams().n_layer() + 1U) << "and what belongs to no layer";
  const size_t n_spans = trace.spans(0).size();
  machine.Run(sequence, std::span(tokens_).subspan(100, 1), 1);
  EXPECT_EQ(trace.spans(0).size(), n_spans) << "no longer recorded";
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
    const std::vector<PageSet> pages = first.pages();
    second.Share(std::span(pages).first(n_pages));
    const size_t n_past = n_pages * kPageTokens;
    EXPECT_TRUE(SameBits(machine.Run(second, std::span(tokens_).subspan(n_past), 7),
                         std::span(alone_).subspan(n_past * n_vocab_)));
  }
  first.Truncate(70);
  EXPECT_TRUE(SameBits(machine.Run(first, std::span(tokens_).subspan(70), 33),
                       std::span(alone_).subspan(70 * n_vocab_)));
}

/// Many sequences under random chunks, batches, wanted rows, thread counts, rewinds, some of them
/// with more than one split: each position's logits stay, and no sequence gets another's.
TEST_F(ExecutorTest, RandomSchedulesDoNotMatter) {
  constexpr size_t kSequences = 5;
  std::vector<std::vector<Token>> tokens;
  std::vector<std::vector<float>> expected;
  for (size_t i = 0; i < kSequences; ++i) {
    tokens.push_back(RandomTokens(kLength, n_vocab_, 50 + i));
    Machine machine(model_, 1);
    Sequence sequence(&machine.pool);
    expected.push_back(machine.Run(sequence, tokens[i], 512));
  }
  std::mt19937 random(7);
  for (int round = 0; round < 6; ++round) {
    Machine machine(model_, 1 + round % 3);
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < kSequences; ++i) sequences.emplace_back(&machine.pool);
    for (size_t i = 0; i < 2; ++i) {
      machine.Run(sequences[i], std::span(tokens[i]).first(kSplitTokens - 10), kMaxRows);
    }
    for (int step = 0; step < 30; ++step) {
      std::vector<BatchPart> parts;
      std::vector<std::span<const float>> wanted;
      size_t room = kMaxRows;
      for (size_t i = 0; i < kSequences; ++i) {
        Sequence& sequence = sequences[i];
        if (random() % 4 == 0) continue;
        if (random() % 8 == 0) sequence.Truncate(random() % (sequence.n_past() + 1));
        const size_t left = std::min(room, kLength - sequence.n_past());
        const size_t most = random() % 2 == 0 ? 3 : 120;
        const size_t n = std::min<size_t>(left, 1 + random() % most);
        if (n == 0) continue;
        ASSERT_TRUE(sequence.Reserve(n));
        room -= n;
        const size_t n_past = sequence.n_past();
        const size_t n_logits = random() % 2 == 0 ? n : random() % (n + 1);
        parts.push_back({&sequence, std::span(tokens[i]).subspan(n_past, n), n_logits});
        wanted.emplace_back(std::span(expected[i])
                                .subspan((n_past + n - n_logits) * n_vocab_, n_logits * n_vocab_));
      }
      if (parts.empty()) continue;
      std::span<const float> logits = machine.executor.Forward(parts);
      for (size_t i = 0; i < parts.size(); ++i) {
        ASSERT_TRUE(SameBits(logits.first(wanted[i].size()), wanted[i]))
            << "round " << round << ", step " << step << ", part " << i;
        logits = logits.subspan(wanted[i].size());
      }
      EXPECT_TRUE(logits.empty());
    }
  }
}

/// A row may start from a vector in the place of a token's embedding.
TEST_F(ExecutorTest, VectorsStandForTokens) {
  constexpr size_t kRows = 40;
  const size_t n_embd = model_->hparams().n_embd;
  std::vector<float> embeddings(kRows * n_embd);
  std::vector<const float*> vectors(kRows, nullptr);
  std::vector<Token> tokens(tokens_.begin(), tokens_.begin() + kRows);
  for (size_t i = 3; i < 20; ++i) {
    DequantizeRow(model_->token_embd(), static_cast<size_t>(tokens[i]),
                  embeddings.data() + i * n_embd);
    vectors[i] = embeddings.data() + i * n_embd;
    tokens[i] = 0;
  }
  Machine machine(model_, 2);
  Sequence sequence(&machine.pool);
  ASSERT_TRUE(sequence.Reserve(kRows));
  const BatchPart part{
      .sequence = &sequence, .tokens = tokens, .n_logits = kRows, .vectors = vectors};
  EXPECT_TRUE(
      SameBits(machine.executor.Forward({&part, 1}), std::span(alone_).first(kRows * n_vocab_)));
  // Another vector gives other logits from its row on.
  embeddings[10 * n_embd] += 1;
  Sequence other(&machine.pool);
  ASSERT_TRUE(other.Reserve(kRows));
  const BatchPart changed{
      .sequence = &other, .tokens = tokens, .n_logits = kRows, .vectors = vectors};
  const std::span<const float> logits = machine.executor.Forward({&changed, 1});
  EXPECT_TRUE(SameBits(logits.first(10 * n_vocab_), std::span(alone_).first(10 * n_vocab_)));
  EXPECT_FALSE(SameBits(logits.subspan(10 * n_vocab_, n_vocab_), Alone(10)));
}

/// RoPE turns rows by positions that may be given: only their differences count.
TEST_F(ExecutorTest, PositionsMayBeGiven) {
  constexpr size_t kRows = 24;
  std::vector<RopePosition> same(kRows);
  std::vector<RopePosition> stretched(kRows);
  for (uint32_t i = 0; i < kRows; ++i) {
    same[i].fill(i);
    stretched[i].fill(2 * i);
  }
  const auto run = [&](std::span<const RopePosition> positions) {
    Machine machine(model_, 2);
    Sequence sequence(&machine.pool);
    EXPECT_TRUE(sequence.Reserve(kRows));
    const BatchPart part{.sequence = &sequence,
                         .tokens = std::span(tokens_).first(kRows),
                         .n_logits = kRows,
                         .positions = positions};
    const std::span<const float> logits = machine.executor.Forward({&part, 1});
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::span<const float> alone = std::span(alone_).first(kRows * n_vocab_);
  EXPECT_TRUE(SameBits(run(same), alone));
  const std::vector<float> other = run(stretched);
  EXPECT_TRUE(SameBits(std::span(other).first(n_vocab_), alone.first(n_vocab_)));
  EXPECT_FALSE(SameBits(std::span(other).last(n_vocab_), alone.last(n_vocab_)));
}

}  // namespace
}  // namespace quern
