#include "runtime/model/hparams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"
#include "runtime/model/architecture.h"

namespace quern {
namespace {

using testing::HasSubstr;

/// The header of a small Llama file, with room for its tensors, after `change` had its way.
class HParamsTest : public testing::Test {
 protected:
  using Change = std::function<void(GgufWriter&)>;

  Result<HParams> Load(const Change& change = nullptr, const std::vector<float>& rope_freqs = {}) {
    GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.SetString("general.name", "small");
    writer.SetUint32("llama.context_length", 1024);
    writer.SetUint32("llama.embedding_length", 64);
    writer.SetUint32("llama.block_count", 2);
    writer.SetUint32("llama.feed_forward_length", 96);
    writer.SetUint32("llama.attention.head_count", 8);
    writer.SetUint32("llama.attention.head_count_kv", 2);
    writer.SetFloat32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    writer.SetFloat32("llama.rope.freq_base", 500000.0F);
    writer.AddTensor("token_embd.weight", GgmlType::kF32, std::vector<uint64_t>{64, 10});
    if (!rope_freqs.empty()) {
      writer.AddTensor("rope_freqs.weight", GgmlType::kF32,
                       std::vector<uint64_t>{rope_freqs.size()});
    }
    if (change) change(writer);
    bytes_ = writer.Header();
    bytes_.resize(bytes_.size() + 64 * 10 * 4);
    const auto* data = reinterpret_cast<const std::byte*>(rope_freqs.data());
    bytes_.insert(bytes_.end(), data, data + rope_freqs.size() * 4);
    bytes_.resize(bytes_.size() + 64);
    Result<GgufFile> file = GgufFile::FromMemory(bytes_, "small.gguf");
    if (!file) return Propagate(file);
    return HParams::Load(*file);
  }

  std::string Message(const Change& change, const std::vector<float>& rope_freqs = {}) {
    const Result<HParams> hparams = Load(change, rope_freqs);
    return hparams ? "no error" : hparams.error().message;
  }

  std::vector<std::byte> bytes_;
};

TEST_F(HParamsTest, ReadsAllOfThem) {
  const Result<HParams> hparams = Load();
  ASSERT_TRUE(hparams) << hparams.error().message;
  EXPECT_EQ(hparams->architecture->name, "llama");
  EXPECT_EQ(hparams->n_vocab, 10U);
  EXPECT_EQ(hparams->n_ctx_train, 1024U);
  EXPECT_EQ(hparams->n_embd, 64U);
  ASSERT_EQ(hparams->n_layer(), 2U);
  for (const LayerSpec& layer : hparams->layers) {
    EXPECT_EQ(layer.ffn.n_ff, 96U);
    EXPECT_EQ(layer.attention.n_head, 8U);
    EXPECT_EQ(layer.attention.n_head_kv, 2U);
    EXPECT_EQ(layer.attention.k_dim, 8U);
    EXPECT_EQ(layer.attention.v_dim, 8U);
    EXPECT_EQ(layer.attention.rope, 0U);
    EXPECT_DOUBLE_EQ(layer.attention.scale, 1 / std::sqrt(8.0));
  }
  ASSERT_EQ(hparams->ropes.size(), 1U);
  EXPECT_EQ(hparams->ropes[0].n_rot, 8U);
  EXPECT_EQ(hparams->ropes[0].style, RopeStyle::kAdjacent);
  ASSERT_EQ(hparams->ropes[0].frequencies.size(), 4U);
  EXPECT_DOUBLE_EQ(hparams->ropes[0].frequencies[0], 1.0);
  EXPECT_DOUBLE_EQ(hparams->ropes[0].frequencies[2], std::pow(500000.0, -0.5));
}

TEST_F(HParamsTest, HeadLengthNeedNotDivideTheWidth) {
  const Result<HParams> hparams = Load([](GgufWriter& writer) {
    writer.SetUint32("llama.attention.key_length", 24);
    writer.SetUint32("llama.attention.value_length", 24);
    writer.SetUint32("llama.rope.dimension_count", 16);
  });
  ASSERT_TRUE(hparams) << hparams.error().message;
  EXPECT_EQ(hparams->layers[1].attention.k_dim, 24U);
  EXPECT_EQ(hparams->ropes[0].n_rot, 16U);
}

TEST_F(HParamsTest, LinearScalingSlowsEveryPair) {
  const Result<HParams> plain = Load();
  const Result<HParams> scaled = Load([](GgufWriter& writer) {
    writer.SetString("llama.rope.scaling.type", "linear");
    writer.SetFloat32("llama.rope.scaling.factor", 4.0F);
  });
  ASSERT_TRUE(plain);
  ASSERT_TRUE(scaled);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(scaled->ropes[0].frequencies[i], plain->ropes[0].frequencies[i] / 4);
  }
}

TEST_F(HParamsTest, FrequencyFactorsDivide) {
  const Result<HParams> hparams = Load(nullptr, {1.0F, 2.0F, 4.0F, 8.0F});
  ASSERT_TRUE(hparams) << hparams.error().message;
  EXPECT_DOUBLE_EQ(hparams->ropes[0].frequencies[0], 1.0);
  EXPECT_DOUBLE_EQ(hparams->ropes[0].frequencies[2], std::pow(500000.0, -0.5) / 4);
}

/// Llama 3.1's parameters: pairs that turn in less than 8192/4 tokens stay, those that take more
/// than 8192 are slowed by 8, and those between lie between.
TEST_F(HParamsTest, Llama3ScalingKeepsFastPairsAndSlowsSlowOnes) {
  const auto load = [&](const char* type) {
    return Load([&](GgufWriter& writer) {
      writer.SetUint32("llama.attention.key_length", 128);
      writer.SetString("llama.rope.scaling.type", type);
      writer.SetFloat32("llama.rope.scaling.factor", 8.0F);
      writer.SetFloat32("llama.rope.scaling.low_freq_factor", 1.0F);
      writer.SetFloat32("llama.rope.scaling.high_freq_factor", 4.0F);
      writer.SetUint32("llama.rope.scaling.original_context_length", 8192);
    });
  };
  const Result<HParams> plain = load("none");
  const Result<HParams> scaled = load("llama3");
  ASSERT_TRUE(plain) << plain.error().message;
  ASSERT_TRUE(scaled) << scaled.error().message;
  int between = 0;
  for (size_t i = 0; i < 64; ++i) {
    const double tokens_per_turn = 2 * M_PI / plain->ropes[0].frequencies[i];
    const double ratio = scaled->ropes[0].frequencies[i] / plain->ropes[0].frequencies[i];
    if (tokens_per_turn < 2048) {
      EXPECT_DOUBLE_EQ(ratio, 1.0) << i;
    } else if (tokens_per_turn > 8192) {
      EXPECT_DOUBLE_EQ(ratio, 1.0 / 8) << i;
    } else {
      ++between;
      const double smooth = (8192 / tokens_per_turn - 1) / 3;
      EXPECT_NEAR(ratio, smooth + (1 - smooth) / 8, 1e-12) << i;
    }
  }
  EXPECT_GT(between, 0);
}

/// Converters write the scaling twice: as metadata, and worked out in the tensor.
TEST_F(HParamsTest, ScalingIsNotAppliedTwice) {
  const auto load = [&](const char* type) {
    return Load(
        [&](GgufWriter& writer) {
          writer.SetString("llama.rope.scaling.type", type);
          writer.SetFloat32("llama.rope.scaling.factor", 8.0F);
        },
        {1.0F, 1.0F, 4.0F, 8.0F});
  };
  const Result<HParams> plain = load("none");
  const Result<HParams> scaled = load("llama3");
  ASSERT_TRUE(plain) << plain.error().message;
  ASSERT_TRUE(scaled) << scaled.error().message;
  EXPECT_EQ(scaled->ropes[0].frequencies, plain->ropes[0].frequencies);
}

TEST_F(HParamsTest, SaysWhatIsWrong) {
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetUint32("llama.attention.head_count", 128); }),
            "small.gguf: llama.embedding_length 64 in 128 heads (llama.attention.head_count) makes "
            "heads of 0, expected 1 to 512");
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetString("general.architecture", "mamba"); }),
            "small.gguf: architecture 'mamba' is not one Quern runs (llama, qwen2, qwen3)");
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetUint32("llama.attention.head_count_kv", 3); }),
            "small.gguf: 8 heads are not a multiple of 3 KV heads");
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetUint32("llama.block_count", 0); }),
            "small.gguf: llama.block_count is 0, expected 1 to 4096");
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetUint32("llama.expert_count", 8); }),
            "small.gguf: a mixture of 8 experts is not supported");
  EXPECT_EQ(Message([](GgufWriter& w) { w.SetString("llama.rope.scaling.type", "yarn"); }),
            "small.gguf: llama.rope.scaling.type is 'yarn', expected none, linear or llama3");
  EXPECT_EQ(Message(nullptr, {1.0F, 2.0F}),
            "small.gguf: tensor 'rope_freqs.weight' has 2 elements of F32, expected 4 of F32");
  EXPECT_EQ(Message(nullptr, {1.0F, 2.0F, 0.0F, 1.0F}),
            "small.gguf: element 2 of tensor 'rope_freqs.weight' is 0, expected a positive number");
  EXPECT_THAT(Message([](GgufWriter& w) { w.Remove("llama.embedding_length"); }),
              HasSubstr("llama.embedding_length"));
  EXPECT_THAT(Message([](GgufWriter& w) { w.SetFloat32("llama.rope.freq_base", NAN); }),
              HasSubstr("llama.rope.freq_base"));
}

}  // namespace
}  // namespace quern
