// Layers as a description may have them, though no family does yet, against the float64 reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"
#include "runtime/forward/logits_runner.h"
#include "runtime/model/architecture.h"
#include "runtime/model/model.h"
#include "runtime/model/tensor_table.h"
#include "tests/testing/reference_forward.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_model.h"
#include "tools/quantize/random_blocks.h"
#include "tools/quantize/synthetic_vocabulary.h"

namespace quern {
namespace {

using testing::RandomTokens;
using testing::ReferenceModel;

constexpr uint32_t kVocab = 300;
constexpr uint32_t kEmbd = 72;

/// A family of four layers that are not alike.
void DescribeAll(HParams& hparams) {
  hparams.embedding_scale = 3;
  hparams.logit_scale = 0.5;
  hparams.logit_cap = 4;
  // A second table, of which the first half of a head is turned.
  hparams.ropes.push_back(hparams.ropes.front());
  RopeTable& partial = hparams.ropes.back();
  partial.style = RopeStyle::kHalves;
  partial.n_rot /= 2;
  partial.frequencies.resize(partial.n_rot / 2);

  hparams.layers[0].attention_norms = {.before = false, .after = true};
  hparams.layers[0].ffn_norms = {.before = false, .after = true};
  hparams.layers[1].residual_scale = 0.25;
  hparams.layers[1].attention.rope.reset();
  hparams.layers[1].attention.qk_norm = QkNorm::kHead;
  hparams.layers[2].attention_norms.after = true;
  hparams.layers[2].ffn_norms.after = true;
  hparams.layers[2].residual_scale = 2;
  hparams.layers[2].attention.rope = 1;
  hparams.layers[2].attention.scale = 0.3;
  // Other heads and another width: a group of its own in the cache.
  hparams.layers[3].attention.n_head_kv = 1;
  hparams.layers[3].ffn.n_ff = 40;
}

class DescribedLayers : public ::testing::Test {
 protected:
  using Describe = void (*)(HParams&);

  /// Writes a model of the family, every tensor random.
  GgufFile Write(const Architecture* family) {
    GgufWriter writer;
    writer.SetString("general.architecture", family->name);
    writer.SetUint32("test.context_length", 1024);
    writer.SetUint32("test.embedding_length", kEmbd);
    writer.SetUint32("test.block_count", 4);
    writer.SetUint32("test.feed_forward_length", 96);
    writer.SetUint32("test.attention.head_count", 4);
    writer.SetUint32("test.attention.head_count_kv", 2);
    writer.SetUint32("test.attention.key_length", 24);
    SetSyntheticVocabulary(kVocab, writer);
    const std::vector<std::byte> header = writer.Header();
    HParams hparams =
        HParams::FromMetadata(GgufFile::FromMemory(header, "header").value(), {&family, 1}).value();
    hparams.n_vocab = kVocab;
    std::vector<std::vector<float>> contents;
    for (const ModelTensor& tensor : TensorsOf(hparams)) {
      if (tensor.role == TensorRole::kRopeFreqs) continue;
      const bool is_norm = UseOf(tensor.role) == TensorUse::kNorm;
      const double scale =
          UseOf(tensor.role) == TensorUse::kMatrix ? 1 / std::sqrt(double(tensor.n_cols)) : 0.3;
      std::vector<float> values(tensor.n_cols * tensor.n_rows);
      for (size_t i = 0; i < values.size(); ++i) {
        const double uniform = double(RandomBits(contents.size(), i) >> 11) * 0x1p-53;
        values[i] =
            static_cast<float>((2 * uniform - 1) * std::sqrt(3) * scale + (is_norm ? 1 : 0));
      }
      const std::vector<uint64_t> shape = tensor.n_rows == 1
                                              ? std::vector<uint64_t>{tensor.n_cols}
                                              : std::vector<uint64_t>{tensor.n_cols, tensor.n_rows};
      writer.AddTensor(tensor.name(), GgmlType::kF32, shape);
      contents.push_back(std::move(values));
    }
    const std::string path = folder_.File("model.gguf");
    EXPECT_TRUE(writer.Open(path));
    for (const std::vector<float>& values : contents) {
      EXPECT_TRUE(writer.Write(std::as_bytes(std::span(values))));
    }
    EXPECT_TRUE(writer.Finish());
    return GgufFile::Open(path).value();
  }

  /// Logits of all positions, in chunks of `chunk` by `n_threads` threads.
  static std::vector<float> Logits(const std::shared_ptr<const Model>& model,
                                   std::span<const Token> tokens, size_t chunk, int n_threads) {
    auto runner = LogitsRunner::Create(model, {.n_ctx = tokens.size(),
                                               .n_threads = n_threads,
                                               .chunk_tokens = chunk,
                                               .kv_types = KvType::kF32});
    EXPECT_TRUE(runner) << runner.error().message;
    std::vector<float> logits;
    const Status done =
        (*runner)->Run(tokens, 0, [&](size_t, std::span<const float> row) -> Status {
          logits.insert(logits.end(), row.begin(), row.end());
          return {};
        });
    EXPECT_TRUE(done) << done.error().message;
    return logits;
  }

  testing::TempDir folder_;
};

TEST_F(DescribedLayers, AgreeWithFloat64HoweverTheWorkIsCutUp) {
  const Architecture family{
      .name = "test", .tensors = DecoderTensors, .describe = [](HParamsReader&, HParams& hparams) {
        DescribeAll(hparams);
      }};
  const Architecture* families[] = {&family};
  const GgufFile file = Write(&family);
  const auto model = Model::Load(file, {.families = families});
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<Token> tokens = RandomTokens(150, kVocab, 5);
  const std::vector<float> logits = Logits(*model, tokens, 64, 2);
  const std::vector<double> expected = ReferenceModel(file, families).Logits(tokens);
  ASSERT_EQ(logits.size(), expected.size());
  double squares = 0;
  double most = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    squares += expected[i] * expected[i];
    most = std::max(most, std::abs(logits[i] - expected[i]));
  }
  // A row's sums of 24 to 96 floats are off by some 2^-24 each; twelve products in a row.
  EXPECT_LT(most, 2e-5 * std::sqrt(squares / static_cast<double>(logits.size())));
  for (const size_t chunk : {size_t{1}, size_t{7}, size_t{150}}) {
    for (const int n_threads : {1, 3}) {
      const std::vector<float> again = Logits(*model, tokens, chunk, n_threads);
      EXPECT_EQ(std::memcmp(again.data(), logits.data(), logits.size() * sizeof(float)), 0)
          << chunk << " " << n_threads;
    }
  }
}

/// What can be described and is not run is refused by name.
TEST_F(DescribedLayers, RefusesWhatItDoesNotRun) {
  struct Case {
    void (*change)(LayerSpec&);
    const char* message;
  };
  static constexpr Case kCases[] = {
      {[](LayerSpec& l) { l.attention.window = 8; }, "layer 2: a sliding window is not supported"},
      {[](LayerSpec& l) { l.attention.score_cap = 50; },
       "layer 2: a cap of attention scores is not supported"},
      {[](LayerSpec& l) { l.attention.sinks = true; },
       "layer 2: attention sinks are not supported"},
      {[](LayerSpec& l) { l.ffn.kind = FeedForwardKind::kExperts; },
       "layer 2: a mixture of experts is not supported"},
      {[](LayerSpec& l) { l.ffn.activation = Activation::kGelu; },
       "layer 2: a feed-forward other than SwiGLU is not supported"},
      {[](LayerSpec& l) { l.attention.v_dim = 8; },
       "keys of 24 and values of 8: expected the same length"},
  };
  static void (*change)(LayerSpec&);
  const Architecture plain{
      .name = "test", .tensors = DecoderTensors, .describe = [](HParamsReader&, HParams&) {}};
  const Architecture changed{
      .name = "test", .tensors = DecoderTensors, .describe = [](HParamsReader&, HParams& hparams) {
        change(hparams.layers[2]);
      }};
  const Architecture* families[] = {&changed};
  const GgufFile file = Write(&plain);
  for (const Case& c : kCases) {
    change = c.change;
    const auto model = Model::Load(file, {.families = families});
    ASSERT_FALSE(model) << c.message;
    EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(model.error().message, file.name() + ": " + c.message);
  }
}

}  // namespace
}  // namespace quern
