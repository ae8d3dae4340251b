// The forward pass against two references: a float64 pass written from the formulas, and llama.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "runtime/forward/logits_runner.h"
#include "runtime/model/architecture.h"
#include "tests/peer/peer.h"
#include "tests/testing/reference_forward.h"
#include "tests/testing/tiny_model.h"
#include "tools/quality/divergence.h"

namespace quern {
namespace {

using testing::RandomTokens;
using testing::ReferenceModel;
using testing::TinyModel;

/// Logits of all positions of one text, [tokens][n_vocab].
std::vector<float> OurLogits(const std::shared_ptr<const Model>& model,
                             std::span<const Token> tokens, KvType kv_type) {
  LogitsOptions options;
  options.n_ctx = tokens.size();
  options.n_threads = 2;
  options.chunk_tokens = 16;
  options.kv_types = kv_type;
  auto runner = LogitsRunner::Create(model, options);
  EXPECT_TRUE(runner) << runner.error().message;
  std::vector<float> logits;
  const Status done = (*runner)->Run(tokens, 0, [&](size_t, std::span<const float> row) -> Status {
    logits.insert(logits.end(), row.begin(), row.end());
    return {};
  });
  EXPECT_TRUE(done) << done.error().message;
  return logits;
}

double MeanKl(std::span<const double> reference, std::span<const float> logits, size_t n_vocab) {
  std::vector<double> p(n_vocab);
  std::vector<double> q(n_vocab);
  const size_t n_rows = logits.size() / n_vocab;
  double sum = 0;
  for (size_t row = 0; row < n_rows; ++row) {
    LogSoftmax(reference.subspan(row * n_vocab, n_vocab), p);
    LogSoftmax(logits.subspan(row * n_vocab, n_vocab), q);
    sum += KlDivergence(p, q);
  }
  return sum / static_cast<double>(n_rows);
}

double RootMeanSquareError(std::span<const double> reference, std::span<const float> logits) {
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    sum += (logits[i] - reference[i]) * (logits[i] - reference[i]);
  }
  return std::sqrt(sum / static_cast<double>(logits.size()));
}

/// What rounding may do to the logits of a synthetic model, whose logits have a deviation of 3.
///
/// Each of the 7 products of a layer and the output's adds an error of `relative` of its result's
/// size, independent of the others; norms keep relative sizes. So the logits are off by 3 *
/// relative * sqrt(7 n_layer + 1), and four times that is allowed for the attention and SwiGLU
/// between, which multiply errors of their factors.
double LogitErrorBound(const SyntheticModel& shapes, double relative) {
  return 4 * 3 * relative * std::sqrt(7.0 * shapes.n_layer + 1);
}

/// Rounding of the activations of one product. Float weights: 256 to 512 additions, each off by
/// 2^-24 at most. Quantized weights: activations are integers of max/127 per block of 32; a block's
/// max is about 2.5 deviations (3 are taken), and rounding to integers has a deviation of
/// 1/sqrt(12).
double ProductError(GgmlType type) {
  if (ActivationKindOf(type) == ActivationKind::kF32) return std::sqrt(512.0) * 0x1p-24;
  return 3.0 / 127 / std::sqrt(12.0);
}

void ExpectCloseToReference(const SyntheticModel& shapes, GgmlType widest_error) {
  const TinyModel tiny(shapes);
  const ReferenceModel reference(tiny.Open());
  const std::vector<Token> tokens = RandomTokens(40, reference.n_vocab(), 3);
  const std::vector<double> expected = reference.Logits(tokens);
  const std::vector<float> logits = OurLogits(tiny.Load(), tokens, KvType::kF32);
  ASSERT_EQ(logits.size(), expected.size());
  const double bound = LogitErrorBound(shapes, ProductError(widest_error));
  EXPECT_LT(RootMeanSquareError(expected, logits), bound);
  // KL is to second order half the variance of the logits' errors; its mean over positions has the
  // mean square.
  EXPECT_LT(MeanKl(expected, logits, reference.n_vocab()), bound * bound / 2);
}

class EveryType : public ::testing::TestWithParam<GgmlType> {};

TEST_P(EveryType, AgreesWithFloat64) {
  SyntheticModel shapes;
  shapes.type = GetParam();
  ExpectCloseToReference(shapes, GetParam());
}

INSTANTIATE_TEST_SUITE_P(ReferenceLogits, EveryType, ::testing::ValuesIn(RunnableTypes()),
                         [](const auto& test) { return std::string(NameOf(test.param)); });

struct ShapeCase {
  const char* name;
  uint32_t n_head;
  uint32_t n_head_kv;
  uint32_t head_dim;
  bool tied;
  RopeScaling rope_scaling;
};

class EveryShape : public ::testing::TestWithParam<ShapeCase> {
 protected:
  static SyntheticModel Shapes() {
    SyntheticModel shapes;
    shapes.n_head = GetParam().n_head;
    shapes.n_head_kv = GetParam().n_head_kv;
    shapes.head_dim = GetParam().head_dim;
    shapes.tied = GetParam().tied;
    shapes.rope_scaling = GetParam().rope_scaling;
    shapes.rope_theta = 10000;
    return shapes;
  }
};

TEST_P(EveryShape, AgreesWithFloat64AsF32) {
  SyntheticModel shapes = Shapes();
  shapes.type = GgmlType::kF32;
  ExpectCloseToReference(shapes, GgmlType::kF32);
}

TEST_P(EveryShape, AgreesWithFloat64AsQ4KM) { ExpectCloseToReference(Shapes(), GgmlType::kQ4_K); }

INSTANTIATE_TEST_SUITE_P(
    ReferenceLogits, EveryShape,
    ::testing::Values(ShapeCase{"Gqa1", 4, 4, 64, false, RopeScaling::kNone},
                      ShapeCase{"Gqa2Tied", 4, 2, 64, true, RopeScaling::kNone},
                      ShapeCase{"Gqa4Linear", 4, 1, 64, false, RopeScaling::kLinear},
                      ShapeCase{"Gqa3Llama3", 6, 2, 32, true, RopeScaling::kLlama3},
                      ShapeCase{"WideHeads", 2, 1, 192, false, RopeScaling::kLlama3}),
    [](const auto& test) { return std::string(test.param.name); });

/// Each family.
class EveryFamily : public ::testing::TestWithParam<const Architecture*> {
 protected:
  /// Heads of `head_dim`; Qwen 3's are wider than an even share of the embedding, which others'
  /// must be for llama.cpp.
  static SyntheticModel Shapes(GgmlType type, uint32_t n_embd, uint32_t head_dim) {
    SyntheticModel shapes;
    shapes.architecture = GetParam()->name;
    shapes.type = type;
    shapes.n_embd = n_embd;
    shapes.n_ff = 2 * n_embd;
    shapes.n_head = n_embd / head_dim;
    shapes.n_head_kv = shapes.n_head / 2;
    shapes.head_dim = GetParam()->name == "qwen3" ? 2 * head_dim : head_dim;
    shapes.rope_theta = 10000;
    return shapes;
  }
};

TEST_P(EveryFamily, AgreesWithFloat64) {
  ExpectCloseToReference(Shapes(GgmlType::kF32, 256, 64), GgmlType::kF32);
  ExpectCloseToReference(Shapes(GgmlType::kQ8_0, 256, 64), GgmlType::kQ8_0);
}

/// With floats for weights and cache, llama.cpp's logits are ours but for rounding: of rows as
/// short as these, some 2^-22 of the logits' deviation.
TEST_P(EveryFamily, AgreesWithLlamaCpp) {
  QUERN_SKIP_WITHOUT_PEER();
  const TinyModel tiny(Shapes(GgmlType::kF32, 64, 16));
  const std::shared_ptr<const Model> model = tiny.Load();
  const std::vector<Token> tokens = RandomTokens(40, model->hparams().n_vocab, 3);
  const auto theirs =
      peer::Logits(tiny.path(), tokens, {.batch = 64, .kv_type = "F32", .flash_attn = "off"});
  ASSERT_TRUE(theirs) << theirs.error().message;
  const std::vector<float> ours = OurLogits(model, tokens, KvType::kF32);
  ASSERT_EQ(ours.size(), theirs->size());
  double sum = 0;
  double squares = 0;
  double most = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    sum += ours[i];
    squares += double{ours[i]} * ours[i];
    most = std::max(most, std::abs(double{ours[i]} - (*theirs)[i]));
  }
  const auto n = static_cast<double>(ours.size());
  const double deviation = std::sqrt(squares / n - sum / n * (sum / n));
  RecordProperty("largest_difference_in_deviations", std::to_string(most / deviation));
  EXPECT_LT(most, 5e-6 * deviation);
}

INSTANTIATE_TEST_SUITE_P(ReferenceLogits, EveryFamily, ::testing::ValuesIn(Architectures()),
                         [](const auto& test) { return std::string(test.param->name); });

/// Heads that end within groups of rows, and rows that end within blocks of columns.
TEST(ReferenceLogits, OddWidthsAgreeWithFloat64) {
  SyntheticModel shapes;
  shapes.type = GgmlType::kF32;
  shapes.n_embd = 100;
  shapes.n_head = 6;
  shapes.n_head_kv = 3;
  shapes.head_dim = 20;
  shapes.n_ff = 172;
  ExpectCloseToReference(shapes, GgmlType::kF32);
}

/// The reference itself, against the other reference: an error that both of ours share would show
/// here.
TEST(ReferenceForward, AgreesWithLlamaCpp) {
  QUERN_SKIP_WITHOUT_PEER();
  for (const RopeScaling scaling :
       {RopeScaling::kNone, RopeScaling::kLinear, RopeScaling::kLlama3}) {
    SyntheticModel shapes;
    shapes.type = GgmlType::kF32;
    shapes.rope_scaling = scaling;
    shapes.rope_theta = 10000;
    const TinyModel tiny(shapes);
    const ReferenceModel reference(tiny.Open());
    const std::vector<Token> tokens = RandomTokens(40, reference.n_vocab(), 3);
    const auto logits =
        peer::Logits(tiny.path(), tokens, {.batch = 64, .kv_type = "F32", .flash_attn = "off"});
    ASSERT_TRUE(logits) << logits.error().message;
    const double bound = LogitErrorBound(shapes, ProductError(GgmlType::kF32));
    EXPECT_LT(RootMeanSquareError(reference.Logits(tokens), *logits), bound);
  }
}

/// On the same file and text Quern is as close to the float64 reference as llama.cpp, each as it
/// runs by default.
class AgainstLlamaCpp : public ::testing::TestWithParam<GgmlType> {};

TEST_P(AgainstLlamaCpp, DivergesNoMore) {
  QUERN_SKIP_WITHOUT_PEER();
  SyntheticModel shapes;
  shapes.type = GetParam();
  const TinyModel tiny(shapes);
  const ReferenceModel reference(tiny.Open());
  const std::vector<Token> tokens = RandomTokens(100, reference.n_vocab(), 4);
  const std::vector<double> expected = reference.Logits(tokens);
  const auto theirs = peer::Logits(tiny.path(), tokens);
  ASSERT_TRUE(theirs) << theirs.error().message;
  const std::vector<float> ours = OurLogits(tiny.Load(), tokens, KvType::kF16);
  const double our_kl = MeanKl(expected, ours, reference.n_vocab());
  const double their_kl = MeanKl(expected, *theirs, reference.n_vocab());
  RecordProperty("our_kl", std::to_string(our_kl));
  RecordProperty("their_kl", std::to_string(their_kl));
  // Both are means of rounding noise over 100 positions; where the methods are alike they differ by
  // chance.
  EXPECT_LE(our_kl, 1.2 * their_kl);
}

INSTANTIATE_TEST_SUITE_P(ReferenceLogits, AgainstLlamaCpp,
                         ::testing::Values(GgmlType::kF32, GgmlType::kQ8_0, GgmlType::kQ4_0,
                                           GgmlType::kQ4_K, GgmlType::kQ6_K),
                         [](const auto& test) { return std::string(NameOf(test.param)); });

TEST(LogitsRunner, RefusesWhatItCannotRun) {
  const TinyModel tiny(SyntheticModel{});
  LogitsOptions options;
  options.n_ctx = 4;
  auto runner = LogitsRunner::Create(tiny.Load(), options);
  ASSERT_TRUE(runner) << runner.error().message;
  const auto ignore = [](size_t, std::span<const float>) -> Status { return {}; };
  const auto message = [&](const std::vector<Token>& tokens) {
    const Status done = (*runner)->Run(tokens, 0, ignore);
    return done ? "" : done.error().message;
  };
  EXPECT_EQ(message({}), "no tokens");
  EXPECT_EQ(message({1, 2, 3, 4, 5}), "5 tokens, expected at most the context of 4");
  EXPECT_EQ(message({1, 512}), "token 512 is outside the vocabulary of 512");
  EXPECT_EQ(message({-1}), "token -1 is outside the vocabulary of 512");
  EXPECT_EQ(message({1, 2, 3, 4}), "");
}

TEST(LogitsRunner, GivesThePositionsAskedFor) {
  const TinyModel tiny(SyntheticModel{});
  LogitsOptions options;
  options.chunk_tokens = 4;
  auto runner = LogitsRunner::Create(tiny.Load(), options);
  ASSERT_TRUE(runner) << runner.error().message;
  std::vector<size_t> positions;
  const std::vector<Token> tokens = RandomTokens(10, 512, 1);
  ASSERT_TRUE((*runner)->Run(tokens, 3, [&](size_t position, std::span<const float> row) -> Status {
    positions.push_back(position);
    EXPECT_EQ(row.size(), 512U);
    return {};
  }));
  EXPECT_EQ(positions, (std::vector<size_t>{3, 4, 5, 6, 7, 8, 9}));
}

}  // namespace
}  // namespace quern
