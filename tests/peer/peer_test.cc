#include "tests/peer/peer.h"

#include <gtest/gtest.h>

namespace quern::peer {
namespace {

TEST(Peer, TokenizesAndDetokenizes) {
  QUERN_SKIP_WITHOUT_PEER();
  const std::string model = ModelsFile("ggml-vocab-llama-bpe.gguf");
  const std::vector<std::string> texts = {"Hello world", "", std::string("a\0b", 3)};
  const auto tokens = Tokenize(model, texts, {.add_special = false});
  ASSERT_TRUE(tokens) << tokens.error().message;
  EXPECT_EQ(tokens->at(0), (std::vector<Token>{9906, 1917}));  // Llama 3's published ids
  EXPECT_TRUE(tokens->at(1).empty());
  const auto back = Detokenize(model, *tokens);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, texts);
}

TEST(Peer, QuantizesRows) {
  QUERN_SKIP_WITHOUT_PEER();
  std::vector<float> row(64);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i) - 31.5F;
  const auto blocks = QuantizeRows(GgmlType::kQ8_0, row.size(), row);
  ASSERT_TRUE(blocks) << blocks.error().message;
  EXPECT_EQ(blocks->size(), RowBytes(GgmlType::kQ8_0, row.size()));
  const auto floats = DequantizeRows(GgmlType::kQ8_0, row.size(), *blocks);
  ASSERT_TRUE(floats) << floats.error().message;
  ASSERT_EQ(floats->size(), row.size());
  // A step is max|x| / 127 and rounding is off by half of one at most; float16 rounds the step by
  // 2^-11.
  for (size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(floats->at(i), row[i], 31.5 / 127 * 0.55);
}

TEST(Peer, ReportsAMissingModel) {
  QUERN_SKIP_WITHOUT_PEER();
  const std::vector<std::string> texts = {"x"};
  const auto tokens = Tokenize("no_such_file.gguf", texts);
  ASSERT_FALSE(tokens);
  EXPECT_NE(tokens.error().message.find("no_such_file.gguf"), std::string::npos);
}

}  // namespace
}  // namespace quern::peer
