// Our blocks against llama.cpp's: what they mean, how well they fit, and which tensors of a model
// get which type.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "gguf/gguf_file.h"
#include "kernels/quantize.h"
#include "kernels/reference.h"
#include "tests/peer/peer.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_model.h"
#include "tools/quantize/quantizer.h"

namespace quern::peer {
namespace {

constexpr size_t kColumns = 1024;

TEST(QuantizationPeerTest, DequantizesBitForBit) {
  QUERN_SKIP_WITHOUT_PEER();
  std::mt19937 random(1);
  for (const GgmlType type :
       {GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1,
        GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ2_K, GgmlType::kQ3_K, GgmlType::kQ4_K,
        GgmlType::kQ5_K, GgmlType::kQ6_K, GgmlType::kIQ4_NL, GgmlType::kIQ4_XS}) {
    std::vector<std::byte> blocks(RowBytes(type, 100 * kColumns));
    for (std::byte& byte : blocks) byte = static_cast<std::byte>(random());
    const auto expected = DequantizeRows(type, kColumns, blocks);
    ASSERT_TRUE(expected) << expected.error().message;
    std::vector<float> values(100 * kColumns);
    DequantizeRow(type, blocks.data(), values.size(), values.data());
    ASSERT_EQ(expected->size(), values.size());
    size_t n_different = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const bool both_nan = std::isnan(values[i]) && std::isnan(expected->at(i));
      const bool same = std::memcmp(&values[i], &expected->at(i), sizeof(float)) == 0;
      if (!same && !both_nan) ++n_different;
    }
    EXPECT_EQ(n_different, 0U) << NameOf(type);
  }
}

double SquaredError(GgmlType type, const std::vector<float>& x,
                    const std::vector<std::byte>& blocks) {
  std::vector<float> values(x.size());
  DequantizeRow(type, blocks.data(), values.size(), values.data());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += std::pow(static_cast<double>(values[i]) - x[i], 2);
  }
  return sum;
}

TEST(QuantizationPeerTest, ErrsNoMoreThanThePeer) {
  QUERN_SKIP_WITHOUT_PEER();
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> light(64 * kColumns);
  for (float& w : light) w = normal(random);
  std::vector<float> heavy = light;
  for (float& w : heavy) w *= 1 + 500 * w * w;
  for (const std::vector<float>& x : {light, heavy}) {
    for (const GgmlType type : QuantizableTypes()) {
      if (type == GgmlType::kF32) continue;
      const auto theirs = QuantizeRows(type, kColumns, x);
      ASSERT_TRUE(theirs) << theirs.error().message;
      std::vector<std::byte> ours(theirs->size());
      for (size_t row = 0; row < 64; ++row) {
        QuantizeRow(type, &x[row * kColumns], nullptr, kColumns,
                    &ours[row * RowBytes(type, kColumns)]);
      }
      EXPECT_LE(SquaredError(type, x, ours), SquaredError(type, x, *theirs)) << NameOf(type);
    }
  }
}

/// Our type of each tensor is the peer's, for every recipe.
void CompareTypes(const SyntheticModel& shapes) {
  const quern::testing::TempDir directory;
  const quern::testing::TinyModel f32(shapes);
  const GgufFile source = f32.Open();
  for (const QuantizationRecipe& recipe : QuantizationRecipes()) {
    if (recipe.type == GgmlType::kF32) continue;
    const std::string our_path = directory.File("ours.gguf");
    const std::string their_path = directory.File("theirs.gguf");
    ASSERT_TRUE(QuantizeFile(source, our_path, {.recipe = &recipe}));
    const Status status = Quantize(f32.path(), their_path, std::string(recipe.name));
    ASSERT_TRUE(status) << recipe.name << ": " << status.error().message;
    const auto ours = GgufFile::Open(our_path);
    const auto theirs = GgufFile::Open(their_path);
    ASSERT_TRUE(ours && theirs);
    for (const TensorInfo& tensor : theirs->tensors()) {
      EXPECT_EQ(NameOf(ours->FindTensor(tensor.name)->type), NameOf(tensor.type))
          << recipe.name << ", " << tensor.name;
    }
    for (const char* key : {"general.file_type", "general.quantization_version"}) {
      EXPECT_EQ(ours->GetUint(key).value(), theirs->GetUint(key).value()) << recipe.name;
    }
  }
}

TEST(QuantizationPeerTest, ChoosesThePeersTypes) {
  QUERN_SKIP_WITHOUT_PEER();
  SyntheticModel shapes;
  shapes.type = GgmlType::kF32;
  shapes.n_layer = 9;  // rules count in eighths of them
  CompareTypes(shapes);
  shapes.n_embd = shapes.n_ff = 160;  // which no super-block divides
  shapes.tied = true;
  CompareTypes(shapes);
}

}  // namespace
}  // namespace quern::peer
