// `quern inspect` on a small model, on one that cannot be run, and on hostile text.
#include "tools/commands/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"
#include "gguf/gguf_writer.h"
#include "tests/testing/temp_dir.h"
#include "tools/cli/commands.h"

namespace quern {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kEmbd = 64;
constexpr uint64_t kVocab = 100;
constexpr uint64_t kFeedForward = 128;

/// Metadata that a llama model must have.
void SetLlama(GgufWriter& writer) {
  writer.SetString("general.architecture", "llama");
  writer.SetUint32("llama.context_length", 512);
  writer.SetUint32("llama.embedding_length", kEmbd);
  writer.SetUint32("llama.block_count", 2);
  writer.SetUint32("llama.feed_forward_length", kFeedForward);
  writer.SetUint32("llama.attention.head_count", 4);
  writer.SetUint32("llama.attention.head_count_kv", 2);
  writer.SetFloat32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
}

class InspectTest : public ::testing::Test {
 protected:
  /// A file of these tensors with zeros as data, written by `writer`.
  GgufFile Write(GgufWriter& writer, size_t data_bytes) {
    bytes_ = writer.Header();
    bytes_.resize(bytes_.size() + data_bytes);
    Result<GgufFile> file = GgufFile::FromMemory(bytes_, "tiny.gguf");
    EXPECT_TRUE(file) << file.error().message;
    return *std::move(file);
  }

  /// A model of two layers; `output_type` is that of the last layer's attn_output.
  GgufFile Llama(GgmlType output_type = GgmlType::kQ4_0) {
    GgufWriter writer;
    SetLlama(writer);
    std::vector<std::string> tokens(kVocab);
    for (size_t i = 0; i < kVocab; ++i) tokens[i] = fmt::format("t{}", i);
    writer.SetStrings("tokenizer.ggml.tokens", tokens);
    const auto add = [&](const std::string& name, GgmlType type, std::vector<uint64_t> shape) {
      writer.AddTensor(name + ".weight", type, shape);
    };
    add("token_embd", GgmlType::kQ8_0, {kEmbd, kVocab});
    add("output_norm", GgmlType::kF32, {kEmbd});
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      add(layer + "attn_norm", GgmlType::kF32, {kEmbd});
      add(layer + "attn_q", GgmlType::kQ4_0, {kEmbd, kEmbd});
      add(layer + "attn_k", GgmlType::kQ4_0, {kEmbd, kEmbd / 2});
      add(layer + "attn_v", GgmlType::kQ4_0, {kEmbd, kEmbd / 2});
      add(layer + "attn_output", layer == "blk.1." ? output_type : GgmlType::kQ4_0, {kEmbd, kEmbd});
      add(layer + "ffn_norm", GgmlType::kF32, {kEmbd});
      add(layer + "ffn_gate", GgmlType::kQ4_0, {kEmbd, kFeedForward});
      add(layer + "ffn_up", GgmlType::kQ4_0, {kEmbd, kFeedForward});
      add(layer + "ffn_down", GgmlType::kQ4_0, {kFeedForward, kEmbd});
    }
    return Write(writer, 1 << 16);
  }

  std::vector<std::byte> bytes_;
};

TEST_F(InspectTest, SumsTypesAndEstimatesMemory) {
  const GgufFile file = Llama();
  const Inspection inspection = Inspect(file, 0, KvType::kF16);
  ASSERT_EQ(inspection.types.size(), 3U);
  EXPECT_EQ(inspection.types[0].type, GgmlType::kQ4_0) << "the largest first";
  EXPECT_EQ(inspection.types[1].type, GgmlType::kQ8_0);
  EXPECT_EQ(inspection.types[1].n_bytes, kVocab * 68);
  EXPECT_EQ(BitsPerWeight(inspection.types[1].n_bytes, inspection.types[1].n_elements), 8.5);
  EXPECT_EQ(inspection.types[2].n_elements, 5 * kEmbd);
  EXPECT_EQ(inspection.total.n_elements,
            kEmbd * kVocab + 5 * kEmbd + 2 * (3 * kEmbd * kEmbd + 3 * kEmbd * kFeedForward));
  ASSERT_TRUE(inspection.memory) << inspection.memory.error().message;
  EXPECT_EQ(inspection.memory->n_ctx, 512U) << "the model's own context";
  const Inspection longer = Inspect(file, 1024, KvType::kF16);
  EXPECT_EQ(longer.memory->estimate.kv_cache, 2 * inspection.memory->estimate.kv_cache);
  EXPECT_EQ(longer.memory->estimate.kv_cache, 1024U * 2 * 2 * 16 * 2 * 2)
      << "positions x layers x KV heads x head size x (K and V) x 2 bytes";
}

TEST_F(InspectTest, TextShowsEveryPart) {
  const GgufFile file = Llama();
  const std::string text = InspectionText(file, Inspect(file, 512, KvType::kF16), {});
  EXPECT_THAT(text, HasSubstr("tiny.gguf\n  GGUF v3, "));
  EXPECT_THAT(text, HasSubstr("9 keys, 20 tensors"));
  EXPECT_THAT(text, HasSubstr("string[100]   ['t0', 't1', "));
  EXPECT_THAT(text, HasSubstr(", ...]"));
  EXPECT_THAT(text, HasSubstr("float32       1e-05\n"));
  EXPECT_THAT(text, HasSubstr("token_embd.weight          64 x 100   Q8_0   6.64 KiB\n"));
  EXPECT_THAT(text, HasSubstr("4 heads of 16, 2 KV heads"));
  EXPECT_THAT(text, HasSubstr("Memory for 512 positions, KV cache in f16"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(InspectionText(file, Inspect(file, 512, KvType::kF16), {.full = true, .bold = false}),
              HasSubstr("'t98', 't99']"));
}

TEST_F(InspectTest, JsonHasTheSameFacts) {
  const GgufFile file = Llama();
  const Inspection inspection = Inspect(file, 512, KvType::kBF16);
  const json cut = json::parse(InspectionJson(file, inspection, /*full=*/false));
  EXPECT_EQ(cut["metadata"]["llama.block_count"]["value"], 2);
  EXPECT_EQ(cut["metadata"]["llama.block_count"]["type"], "uint32");
  EXPECT_EQ(cut["metadata"]["tokenizer.ggml.tokens"]["count"], 100);
  EXPECT_EQ(cut["metadata"]["tokenizer.ggml.tokens"]["first"].size(), 16U);
  EXPECT_EQ(cut["tensors"][0]["shape"], json::array({64, 100}));
  EXPECT_EQ(cut["tensors"][0]["bytes"], 6800);
  EXPECT_EQ(cut["types"]["Q8_0"]["bits_per_weight"], 8.5);
  EXPECT_EQ(cut["model"]["head_dim"], 16);
  EXPECT_EQ(cut["memory"]["cache_type_k"], "bf16");
  EXPECT_EQ(cut["memory"]["total"], inspection.memory->estimate.total());
  const json full = json::parse(InspectionJson(file, inspection, /*full=*/true));
  EXPECT_EQ(full["metadata"]["tokenizer.ggml.tokens"]["value"].size(), 100U);
}

TEST_F(InspectTest, AModelThatCannotBeRunIsStillShown) {
  GgufWriter writer;
  writer.SetString("general.architecture", "unheard-of");
  const std::vector<uint64_t> shape = {256};
  writer.AddTensor("t", GgmlType::kIQ2_XXS, shape);
  const GgufFile file = Write(writer, 66 + 32);
  const Inspection inspection = Inspect(file, 0, KvType::kF16);
  const std::string text = InspectionText(file, inspection, {});
  EXPECT_THAT(text, HasSubstr("IQ2_XXS"));
  EXPECT_THAT(text, HasSubstr("cannot be run"));
  EXPECT_THAT(text, HasSubstr("unheard-of"));
  const json parsed = json::parse(InspectionJson(file, inspection, /*full=*/false));
  EXPECT_THAT(parsed["problem"].get<std::string>(), HasSubstr("unheard-of"));
  EXPECT_FALSE(parsed["types"]["IQ2_XXS"]["runnable"].get<bool>());
}

TEST_F(InspectTest, ATensorThatCannotBeRunIsTheProblem) {
  const GgufFile file = Llama(GgmlType::kIQ4_NL);
  EXPECT_TRUE(Inspect(file, 0, KvType::kF16).memory);
  const GgufFile other = Llama(GgmlType::kQ8_1);
  const Inspection inspection = Inspect(other, 0, KvType::kF16);
  ASSERT_FALSE(inspection.memory);
  EXPECT_EQ(
      inspection.memory.error().message,
      "tiny.gguf: tensor 'blk.1.attn_output.weight' is of type Q8_1, which Quern does not run");
  EXPECT_THAT(InspectionText(other, inspection, {}),
              HasSubstr("Quern cannot run it: tensor 'blk.1"));
}

TEST_F(InspectTest, HostileTextStaysHarmless) {
  GgufWriter writer;
  writer.SetString("general.architecture", "a\x1b[31m\xff\n");
  writer.SetString("k\xff\x1b[2J", "v\xfe\n\x1b]0;title\x07");
  writer.SetStrings("list", std::vector<std::string>{"\x9b", "a\nb"});
  const std::vector<uint64_t> shape = {1};
  writer.AddTensor("n\xff\r", GgmlType::kF32, shape);
  const GgufFile file = Write(writer, 32);
  const Inspection inspection = Inspect(file, 0, KvType::kF16);
  for (const bool full : {false, true}) {
    const std::string text = InspectionText(file, inspection, {.full = full, .bold = false});
    for (size_t i = 0; i < text.size();) {
      const size_t length = Utf8SequenceLength(std::string_view(text).substr(i));
      ASSERT_NE(length, 0U) << "not UTF-8 at byte " << i;
      ASSERT_TRUE(text[i] == '\n' || static_cast<unsigned char>(text[i]) >= 0x20) << i;
      i += length;
    }
    const std::string printed = InspectionJson(file, inspection, full);
    EXPECT_TRUE(json::accept(printed)) << "JSON of valid UTF-8";
  }
}

TEST(InspectCommand, PrintsAFileOrOneLineOfError) {
  const ::quern::testing::TempDir dir;
  const std::string path = dir.File("m.gguf");
  GgufWriter writer;
  SetLlama(writer);
  ASSERT_TRUE(writer.Open(path));
  ASSERT_TRUE(writer.Finish());
  const auto run = [](std::vector<const char*> arguments) {
    Commands commands;
    AddInspectCommand(commands);
    arguments.insert(arguments.begin(), {"quern", "inspect"});
    return commands.Run(static_cast<int>(arguments.size()), arguments.data());
  };
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run({path.c_str(), "--json", "--cache-type-k", "f32", "-c", "100"}), 0);
  const json parsed = json::parse(::testing::internal::GetCapturedStdout());
  EXPECT_EQ(parsed["metadata"]["general.architecture"]["value"], "llama");
  EXPECT_THAT(parsed["problem"].get<std::string>(), HasSubstr("token_embd.weight"))
      << "metadata alone is no model";

  std::ofstream(path, std::ios::trunc) << "GGUF";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run({path.c_str()}), 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            fmt::format("error: {}: the file ends at byte 4 inside the version\n", path));
  for (const std::vector<const char*>& bad :
       {std::vector<const char*>{"x", "-c", "many"}, {"x", "--cache-type-k", "q8"}}) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(run(bad), 1);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("see quern inspect --help"));
  }
}

}  // namespace
}  // namespace quern
