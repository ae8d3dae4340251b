#include "runtime/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"
#include "kernels/reference.h"
#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using ::testing::EndsWith;

/// A copy of a small model's file in which one tensor is left out, renamed, retyped or reshaped.
struct Change {
  std::string tensor;
  std::string new_name;  ///< empty: the tensor is left out
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;
};

class ModelTest : public ::testing::Test {
 protected:
  /// The message of loading the changed copy, without the file's name.
  std::string Message(const Change& change) {
    const GgufFile file = tiny_.Open();
    GgufWriter writer;
    for (const MetaEntry& entry : file.metadata()) writer.SetValue(entry.key, entry.value);
    std::vector<std::vector<std::byte>> contents;
    for (const TensorInfo& tensor : file.tensors()) {
      if (tensor.name != change.tensor) {
        writer.AddTensor(tensor.name, tensor.type, std::span(tensor.shape).first(tensor.n_dims));
        contents.emplace_back(tensor.data.begin(), tensor.data.end());
      } else if (!change.new_name.empty()) {
        writer.AddTensor(change.new_name, change.type, change.shape);
        uint64_t n_rows = 1;
        for (size_t i = 1; i < change.shape.size(); ++i) n_rows *= change.shape[i];
        contents.emplace_back(n_rows * RowBytes(change.type, change.shape[0]));
      }
    }
    const std::string path = folder_.File("changed.gguf");
    EXPECT_TRUE(writer.Open(path));
    for (const auto& bytes : contents) EXPECT_TRUE(writer.Write(bytes));
    EXPECT_TRUE(writer.Finish());
    const Result<GgufFile> changed = GgufFile::Open(path);
    EXPECT_TRUE(changed);
    const auto model = Model::Load(*changed);
    if (model) return "no error";
    EXPECT_EQ(model.error().message.rfind(path + ": ", 0), 0U) << model.error().message;
    return model.error().message.substr(path.size() + 2);
  }

  static SyntheticModel HalfPrecision() {
    SyntheticModel shapes;
    shapes.type = GgmlType::kF16;
    return shapes;
  }

  testing::TinyModel tiny_{HalfPrecision()};
  testing::TempDir folder_;
};

TEST_F(ModelTest, LoadsShapesVocabularyAndWeights) {
  const GgufFile file = tiny_.Open();
  double last_progress = 0;
  const auto model =
      Model::Load(file, {.mode = LoadMode::kPack, .n_threads = 2, .progress = [&](double share) {
                           EXPECT_GE(share, last_progress);
                           last_progress = share;
                         }});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_DOUBLE_EQ(last_progress, 1.0);
  const HParams& hparams = (*model)->hparams();
  EXPECT_EQ((*model)->layers().size(), hparams.n_layer());
  EXPECT_EQ((*model)->tokenizer().n_vocab(), hparams.n_vocab);
  EXPECT_NE((*model)->output().data, (*model)->token_embd().data);

  const WeightMatrix& down = (*model)->layers().back().matrix(TensorRole::kFfnDown);
  EXPECT_EQ(down.n_rows, hparams.n_embd);
  EXPECT_EQ(down.n_cols, hparams.layers.back().ffn.n_ff);
  const TensorInfo* tensor =
      file.FindTensor("blk." + std::to_string(hparams.n_layer() - 1) + ".ffn_down.weight");
  std::vector<float> expected(down.n_cols);
  std::vector<float> packed(down.n_cols);
  for (const size_t row : {size_t{0}, size_t{17}, down.n_rows - 1}) {
    DequantizeRow(tensor->type, tensor->data.data() + row * RowBytes(tensor->type, down.n_cols),
                  down.n_cols, expected.data());
    DequantizeRow(down, row, packed.data());
    EXPECT_EQ(packed, expected) << row;
  }
}

TEST_F(ModelTest, WeightsInPlaceAreTheFileWhichTheModelKeeps) {
  std::shared_ptr<const Model> model;
  std::vector<float> expected;
  {
    const GgufFile file = tiny_.Open();
    model = Model::Load(file, {.mode = LoadMode::kMmap}).value();
    const TensorInfo* tensor = file.FindTensor("token_embd.weight");
    EXPECT_EQ(model->token_embd().data, tensor->data.data());
    expected.resize(tensor->n_cols());
    DequantizeRow(tensor->type, tensor->data.data(), tensor->n_cols(), expected.data());
  }
  std::vector<float> row(expected.size());
  DequantizeRow(model->token_embd(), 0, row.data());
  EXPECT_EQ(row, expected);
  const auto packed = tiny_.Load(LoadMode::kPack);
  EXPECT_EQ(model->weight_bytes(), packed->weight_bytes());
  EXPECT_EQ(model->bytes_per_token(), packed->bytes_per_token());
  EXPECT_EQ(model->Matrices().size(), 2 + 7 * model->layers().size());
}

/// How many pages of [begin, end) are in the memory of each node, by the system's numbers. Of pages
/// that it just watches for its own balancing, Linux does not tell; asking by an access moves them.
std::map<int, size_t> NodesOfMemory(const std::byte* begin, const std::byte* end) {
  constexpr size_t kPage = 4096;
  std::vector<const void*> pages;
  for (const std::byte* page = begin; page < end; page += kPage) pages.push_back(page);
  std::vector<int> nodes(pages.size());
  EXPECT_EQ(syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, nodes.data(), 0), 0);
  std::map<int, size_t> counts;
  for (const int node : nodes) {
    if (node >= 0) ++counts[node];
  }
  return counts;
}

TEST_F(ModelTest, EachMemoryNodeHoldsItsShare) {
  if (MemoryNodes::OfMachine().size() < 2) GTEST_SKIP() << "one memory node";
  SyntheticModel shapes = HalfPrecision();
  shapes.n_layer = 1;
  shapes.n_embd = 1024;
  shapes.n_ff = 16384;
  const auto model = testing::TinyModel(shapes).Load(LoadMode::kPack);
  const WeightMatrix& w = model->layers()[0].matrix(TensorRole::kFfnGate);
  const size_t group_bytes = PackedGroupBytes(w.type, w.n_cols);
  std::set<int> main_nodes;
  for (size_t node = 0; node < model->nodes().size(); ++node) {
    const auto [first, last] = model->GroupsOf(w, node);
    const auto counts = NodesOfMemory(w.data + first * group_bytes, w.data + last * group_bytes);
    if (counts.empty()) GTEST_SKIP() << "the system does not tell of any page";
    size_t total = 0;
    for (const auto& [number, count] : counts) total += count;
    const auto most = std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
    // The rest are huge pages on a border, and what an idle node's threads took over.
    EXPECT_GT(most->second, total / 2) << ::testing::PrintToString(counts);
    main_nodes.insert(most->first);
  }
  EXPECT_EQ(main_nodes.size(), model->nodes().size()) << ::testing::PrintToString(main_nodes);
}

TEST_F(ModelTest, TiedOutputIsTheEmbedding) {
  SyntheticModel shapes;
  shapes.tied = true;
  const auto model = testing::TinyModel(shapes).Load();
  EXPECT_EQ(model->output().data, model->token_embd().data);
}

TEST_F(ModelTest, NamesTheTensorThatIsWrong) {
  EXPECT_EQ(Message({"blk.1.attn_k.weight", "", {}, {}}), "no tensor 'blk.1.attn_k.weight'");
  EXPECT_EQ(Message({"blk.1.ffn_up.weight", "blk.1.ffn_up.weight", GgmlType::kF32, {256, 100}}),
            "tensor 'blk.1.ffn_up.weight' is 256 x 100, expected 256 x 512");
  EXPECT_EQ(Message({"output.weight", "output.weight", GgmlType::kIQ2_S, {256, 512}}),
            "tensor 'output.weight' is of type IQ2_S, which Quern does not run");
  EXPECT_THAT(Message({"output.weight", "blk.0.attn_output.bias", GgmlType::kF32, {256}}),
              EndsWith("'blk.0.attn_output.bias' has no place in architecture 'llama'"));
  EXPECT_EQ(Message({"output.weight", "new\nline\x1b[2J", GgmlType::kF32, {256}}),
            "tensor 'new\\nline\\x1b[2J' has no place in architecture 'llama'");
}

}  // namespace
}  // namespace quern
