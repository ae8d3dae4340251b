// llama.cpp's published test vectors: inputs and the tokens that each vocabulary must give.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/tokenizer.h"
#include "tests/peer/peer.h"

namespace quern {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Texts with a line "__ggml_vocab_test__" between them.
std::vector<std::string> SplitInputs(const std::string& all) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> inputs;
  size_t at = 0;
  for (size_t end = all.find(kSeparator); end != std::string::npos;
       end = all.find(kSeparator, at)) {
    inputs.push_back(all.substr(at, end - at));
    at = end + kSeparator.size();
  }
  if (at < all.size()) inputs.push_back(all.substr(at));
  return inputs;
}

/// A line of ids for each input.
std::vector<std::vector<Token>> ParseOutputs(const std::string& all) {
  std::vector<std::vector<Token>> outputs;
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream ids(line);
    outputs.emplace_back(std::istream_iterator<Token>(ids), std::istream_iterator<Token>());
  }
  return outputs;
}

class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, AllAgree) {
  QUERN_SKIP_WITHOUT_PEER();
  const std::string path = peer::ModelsFile(std::string("ggml-vocab-") + GetParam() + ".gguf");
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::Load(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto inputs = SplitInputs(ReadFile(path + ".inp"));
  const auto outputs = ParseOutputs(ReadFile(path + ".out"));
  ASSERT_GE(inputs.size(), 40U);
  ASSERT_EQ(inputs.size(), outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(inputs[i], {.add_special = false}), outputs[i]) << inputs[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerVectors,
                         testing::Values("llama-bpe", "llama-spm", "qwen2", "qwen35", "gpt-2",
                                         "phi-3", "falcon", "starcoder", "refact", "command-r",
                                         "deepseek-llm", "deepseek-coder"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace quern
