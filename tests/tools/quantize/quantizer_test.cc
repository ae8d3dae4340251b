#include "tools/quantize/quantizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"
#include "kernels/reference.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using quern::testing::TempDir;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Tensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

Tensor RandomTensor(std::string name, std::vector<uint64_t> shape) {
  uint64_t n = 1;
  for (const uint64_t dim : shape) n *= dim;
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> values(n);
  std::ranges::generate(values, [&] { return normal(random); });
  return {std::move(name), std::move(shape), std::move(values)};
}

// Two layers of everything that the rules tell apart; one matrix has rows that no block of 256
// divides.
std::vector<Tensor> SmallModel() {
  std::vector<Tensor> tensors = {RandomTensor("token_embd.weight", {256, 40}),
                                 RandomTensor("output_norm.weight", {256}),
                                 RandomTensor("output.weight", {256, 40})};
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    tensors.push_back(RandomTensor(layer + "attn_norm.weight", {256}));
    tensors.push_back(RandomTensor(layer + "attn_q.weight", {256, 256}));
    tensors.push_back(RandomTensor(layer + "attn_v.weight", {256, 64}));
    tensors.push_back(RandomTensor(layer + "ffn_down.weight", {96, 256}));
  }
  return tensors;
}

class QuantizerTest : public ::testing::Test {
 protected:
  std::string WriteModel(const std::vector<Tensor>& tensors, GgmlType type = GgmlType::kF32) {
    GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.SetUint32("general.file_type", 0);
    writer.SetUint32("llama.block_count", 2);
    writer.SetFloat32s("some.floats", std::vector<float>{1.5F, -0.0F});
    writer.SetStrings("some.strings", std::vector<std::string>{"a", "", "\xF0\x9F\x98\x80"});
    writer.SetInt32("split.tensors.count", 99);
    writer.SetUint32("general.alignment", 128);
    for (const Tensor& tensor : tensors) writer.AddTensor(tensor.name, type, tensor.shape);
    std::string path = directory_.File("in.gguf");
    EXPECT_TRUE(writer.Open(path));
    for (const Tensor& tensor : tensors) {
      EXPECT_TRUE(writer.Write(std::as_bytes(std::span(tensor.values))));
    }
    EXPECT_TRUE(writer.Finish());
    return path;
  }

  Result<QuantizeSummary> Quantize(const std::string& in, std::string_view recipe,
                                   const QuantizeOptions& base = {}) {
    Result<GgufFile> source = GgufFile::Open(in);
    if (!source) return Propagate(source);
    QuantizeOptions options = base;
    options.recipe = FindQuantizationRecipe(recipe);
    return QuantizeFile(*source, out_, options);
  }

  GgufFile OpenOutput() {
    Result<GgufFile> file = GgufFile::Open(out_);
    EXPECT_TRUE(file) << file.error().message;
    return std::move(*file);
  }

  TempDir directory_;
  std::string out_ = directory_.File("out.gguf");
};

std::vector<float> Values(const TensorInfo& tensor) {
  std::vector<float> values(tensor.n_elements());
  DequantizeRow(tensor.type, tensor.data.data(), values.size(), values.data());
  return values;
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0;
  double energy = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - b[i], 2);
    energy += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / energy);
}

TEST_F(QuantizerTest, WritesTypesAndValues) {
  const std::vector<Tensor> tensors = SmallModel();
  const auto summary = Quantize(WriteModel(tensors), "Q4_K_M", {.n_threads = 2});
  ASSERT_TRUE(summary) << summary.error().message;

  const GgufFile file = OpenOutput();
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, tensors[i].name);
    ASSERT_EQ(tensor.n_elements(), tensors[i].values.size());
    // 4.5 bits give about 8% on normal weights, 6.6 bits about 2%.
    EXPECT_LT(RelativeError(Values(tensor), tensors[i].values), 0.1) << tensor.name;
  }
  EXPECT_EQ(file.FindTensor("token_embd.weight")->type, GgmlType::kQ4_K);
  EXPECT_EQ(file.FindTensor("output.weight")->type, GgmlType::kQ6_K);
  EXPECT_EQ(file.FindTensor("output_norm.weight")->type, GgmlType::kF32);
  EXPECT_EQ(file.FindTensor("blk.0.attn_v.weight")->type, GgmlType::kQ4_K);
  EXPECT_EQ(file.FindTensor("blk.1.attn_v.weight")->type, GgmlType::kQ6_K);
  EXPECT_EQ(file.FindTensor("blk.0.ffn_down.weight")->type, GgmlType::kQ5_0);
  EXPECT_EQ(file.FindTensor("blk.1.ffn_down.weight")->type, GgmlType::kQ8_0);
  EXPECT_EQ(summary->n_fallback, 2U);
  EXPECT_EQ(summary->n_requantized, 0U);

  uint64_t bytes = 0;
  uint64_t weights = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    bytes += tensor.data.size();
    weights += tensor.n_elements();
  }
  EXPECT_EQ(summary->result_bytes, bytes);
  EXPECT_EQ(summary->n_weights, weights);
  EXPECT_EQ(summary->source_bytes, 4 * weights);
}

TEST_F(QuantizerTest, KeepsMetadataButForTheTypes) {
  ASSERT_TRUE(Quantize(WriteModel(SmallModel()), "Q5_K_M"));
  const GgufFile file = OpenOutput();
  EXPECT_EQ(file.GetUint("general.file_type").value(), 17U);
  EXPECT_EQ(file.GetUint("general.quantization_version").value(), 2U);
  EXPECT_EQ(file.Find("split.tensors.count"), nullptr);
  EXPECT_EQ(file.Find("general.alignment"), nullptr);
  EXPECT_EQ(file.GetString("general.architecture").value(), "llama");
  EXPECT_THAT(file.GetFloats("some.floats").value(), ::testing::ElementsAre(1.5, -0.0));
  EXPECT_THAT(file.GetStrings("some.strings").value(),
              ::testing::ElementsAre("a", "", "\xF0\x9F\x98\x80"));
  EXPECT_EQ(file.Find("llama.block_count")->type, MetaType::kUint32);
}

TEST_F(QuantizerTest, SameBytesForAnyThreadCount) {
  const std::string in = WriteModel(SmallModel());
  ASSERT_TRUE(Quantize(in, "Q4_K_M", {.n_threads = 1}));
  std::vector<std::vector<std::byte>> expected;
  const GgufFile one = OpenOutput();
  ASSERT_TRUE(Quantize(in, "Q4_K_M", {.n_threads = 3}));
  const GgufFile three = OpenOutput();
  for (size_t i = 0; i < one.tensors().size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(one.tensors()[i].data, three.tensors()[i].data));
  }
}

TEST_F(QuantizerTest, ReadsQuantizedTypes) {
  const std::vector<Tensor> tensors = SmallModel();
  ASSERT_TRUE(Quantize(WriteModel(tensors), "Q8_0"));
  const std::string q8 = directory_.File("q8.gguf");
  std::filesystem::rename(out_, q8);
  const auto summary = Quantize(q8, "Q4_K", {.pure = true});
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->n_requantized, 8U);
  const GgufFile file = OpenOutput();
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_LT(RelativeError(Values(file.tensors()[i]), tensors[i].values), 0.1);
  }
}

TEST_F(QuantizerTest, TensorsOfTheTargetTypeAreCopied) {
  ASSERT_TRUE(Quantize(WriteModel(SmallModel()), "Q4_K_M"));
  const std::string first = directory_.File("first.gguf");
  std::filesystem::rename(out_, first);
  ASSERT_TRUE(Quantize(first, "Q4_K_M"));
  const GgufFile again = OpenOutput();
  const auto original = GgufFile::Open(first);
  for (size_t i = 0; i < again.tensors().size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(again.tensors()[i].data, original->tensors()[i].data));
  }
}

TEST_F(QuantizerTest, ReportsProgressToTheEnd) {
  std::vector<uint64_t> done;
  uint64_t total = 0;
  QuantizeOptions options;
  options.progress = [&](const QuantizeProgress& progress) {
    done.push_back(progress.weights_done);
    total = progress.weights_total;
  };
  const auto summary = Quantize(WriteModel(SmallModel()), "F16", options);
  ASSERT_TRUE(summary);
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(done.front(), 0U);
  EXPECT_EQ(done.back(), summary->n_weights);
  EXPECT_EQ(total, summary->n_weights);
}

TEST_F(QuantizerTest, RefusesWeightsThatAreNotFinite) {
  std::vector<Tensor> tensors = SmallModel();
  tensors[4].values[3 * 256 + 17] = kNan;
  tensors[4].values[200 * 256] = std::numeric_limits<float>::infinity();
  const auto summary = Quantize(WriteModel(tensors), "Q4_K", {.n_threads = 2});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::kCorruptFile);
  EXPECT_THAT(summary.error().message, HasSubstr("in.gguf: tensor 'blk.0.attn_q.weight' has nan at "
                                                 "row 3, column 17"));
  EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(QuantizerTest, RefusesWeightsThatTheTypeCannotHold) {
  std::vector<Tensor> tensors = SmallModel();
  tensors[0].values[256] = -70000;
  const std::string in = WriteModel(tensors);
  const auto summary = Quantize(in, "F16");
  ASSERT_FALSE(summary);
  EXPECT_THAT(
      summary.error().message,
      HasSubstr("'token_embd.weight' has -70000 at row 1, column 0; F16 holds finite values "
                "up to 65504"));
  EXPECT_TRUE(Quantize(in, "BF16"));
  EXPECT_TRUE(Quantize(in, "Q8_0"));
}

TEST_F(QuantizerTest, RefusesItsOwnInput) {
  const std::string in = WriteModel(SmallModel());
  const auto source = GgufFile::Open(in);
  const QuantizeOptions options = {.recipe = FindQuantizationRecipe("Q8_0")};
  const auto summary = QuantizeFile(*source, directory_.path() + "/./in.gguf", options);
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(summary.error().message, HasSubstr("would overwrite the input"));
}

TEST_F(QuantizerTest, RefusesEveryPartOfItsOwnInput) {
  for (uint32_t i = 0; i < 2; ++i) {
    GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.SetUint32("split.count", 2);
    writer.SetUint32("split.no", i);
    writer.AddTensor("blk." + std::to_string(i) + ".attn_q.weight", GgmlType::kF32,
                     std::vector<uint64_t>{256});
    EXPECT_TRUE(writer.Open(directory_.File(fmt::format("m-{:05}-of-00002.gguf", i + 1))));
    EXPECT_TRUE(writer.Write(std::vector<std::byte>(256 * sizeof(float))));
    EXPECT_TRUE(writer.Finish());
  }
  const auto source = GgufFile::Open(directory_.File("m-00001-of-00002.gguf"));
  ASSERT_TRUE(source) << source.error().message;
  const QuantizeOptions options = {.recipe = FindQuantizationRecipe("Q8_0")};
  for (const char* part : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const auto summary = QuantizeFile(*source, directory_.File(part), options);
    ASSERT_FALSE(summary) << part;
    EXPECT_THAT(summary.error().message, HasSubstr("would overwrite the input"));
  }
}

TEST_F(QuantizerTest, RefusesTypesThatDoNotRun) {
  Tensor tensor = {"blk.0.attn_q.weight", {256, 2}, {}};
  tensor.values.resize(2 * 66 / sizeof(float));  // the bytes of two rows of IQ2_XXS
  const auto summary = Quantize(WriteModel({tensor}, GgmlType::kIQ2_XXS), "Q4_K");
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(summary.error().message,
              HasSubstr("tensor 'blk.0.attn_q.weight' is of type IQ2_XXS, which cannot be read"));
}

TEST_F(QuantizerTest, ReportsAnOutputThatCannotBeWritten) {
  out_ = directory_.File("no/such/directory.gguf");
  const auto summary = Quantize(WriteModel(SmallModel()), "Q8_0");
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::kIo);
  EXPECT_THAT(summary.error().message, HasSubstr("no/such/directory.gguf"));
}

}  // namespace
}  // namespace quern
