// Agreement with llama.cpp on random texts and tokens.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/gguf_writer.h"
#include "runtime/text/tokenizer.h"
#include "tests/peer/peer.h"
#include "tests/testing/random_text.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using testing::RandomText;

std::vector<std::string> RandomTexts(uint32_t seed, size_t n) {
  RandomText random(
      seed, {"<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|im_end|>", "<|im_start|>",
             "<|endoftext|>", "<s>", "</s>", "<unk>", "<|", "|>", "<|assistant|>", "<|end|>",
             "<fim_prefix>", "<|reserved_special_token_7|>", ">>TITLE<<", "<filename>"});
  std::vector<std::string> texts;
  while (texts.size() < n) {
    std::string text = random.Next();
    if (!testing::IsAboveUnicode(text)) texts.push_back(std::move(text));
  }
  return texts;
}

void ExpectAgreement(const std::string& path, const std::vector<std::string>& texts,
                     bool with_special) {
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::Load(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  auto expected =
      peer::Tokenize(path, texts, {.add_special = with_special, .parse_special = with_special});
  ASSERT_TRUE(expected) << expected.error().message;
  ASSERT_EQ(expected->size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(
        tokenizer->Encode(texts[i], {.add_special = with_special, .parse_special = with_special}),
        (*expected)[i])
        << ::testing::PrintToString(texts[i]);
  }
}

class TokenizerPeer : public ::testing::TestWithParam<const char*> {
 protected:
  std::string path() const {
    return peer::ModelsFile(std::string("ggml-vocab-") + GetParam() + ".gguf");
  }
};

TEST_P(TokenizerPeer, RandomTexts) {
  QUERN_SKIP_WITHOUT_PEER();
  ExpectAgreement(path(), RandomTexts(1, 5000), false);
  ExpectAgreement(path(), RandomTexts(2, 5000), true);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenizerPeer,
                         ::testing::Values("llama-bpe", "llama-spm", "qwen2", "gpt-2"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

/// Every row of the pre-tokenizer rules, over GPT-2's merges.
class PreTokenizerPeer : public ::testing::TestWithParam<const char*> {};

TEST_P(PreTokenizerPeer, RandomTexts) {
  QUERN_SKIP_WITHOUT_PEER();
  auto gpt2 = GgufFile::Open(peer::ModelsFile("ggml-vocab-gpt-2.gguf"));
  ASSERT_TRUE(gpt2) << gpt2.error().message;
  GgufWriter writer;
  for (const MetaEntry& entry : gpt2->metadata()) writer.SetValue(entry.key, entry.value);
  writer.SetString("tokenizer.ggml.pre", GetParam());
  const testing::TempDir dir;
  const std::string path = dir.File("vocabulary.gguf");
  ASSERT_TRUE(writer.Open(path));
  ASSERT_TRUE(writer.Finish());
  ExpectAgreement(path, RandomTexts(3, 500), false);
}

INSTANTIATE_TEST_SUITE_P(Rules, PreTokenizerPeer,
                         ::testing::Values("llama-bpe", "smaug-bpe", "qwen2", "qwen35", "gpt-2",
                                           "starcoder", "falcon", "deepseek-llm", "deepseek-coder",
                                           "deepseek-v3", "tekken", "gpt-4o", "bloom", "viking",
                                           "bailingmoe", "seed-coder", "default"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

/// Of vocabularies for which llama.cpp deletes no spaces.
class DetokenizerPeer : public TokenizerPeer {};

TEST_P(DetokenizerPeer, RandomTokens) {
  QUERN_SKIP_WITHOUT_PEER();
  auto file = GgufFile::Open(path());
  ASSERT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::Load(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::mt19937 random(4);
  std::vector<std::vector<Token>> lists(2000);
  for (size_t i = 0; i < lists.size(); ++i) {
    lists[i].resize(i % 20);
    for (Token& token : lists[i]) token = static_cast<Token>(random() % tokenizer->n_vocab());
  }
  for (const bool render_special : {false, true}) {
    auto expected = peer::Detokenize(path(), lists, render_special);
    ASSERT_TRUE(expected) << expected.error().message;
    for (size_t i = 0; i < lists.size(); ++i) {
      ASSERT_EQ(tokenizer->Decode(lists[i], render_special), (*expected)[i])
          << ::testing::PrintToString(lists[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, DetokenizerPeer, ::testing::Values("llama-spm", "qwen2"),
                         [](const auto& instance) {
                           return std::string(instance.param) == "qwen2" ? "qwen2" : "llama_spm";
                         });

}  // namespace
}  // namespace quern
