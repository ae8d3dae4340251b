// llama.cpp's published test vectors: inputs and the tokens that each vocabulary must give.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/text/tokenizer.h"
#include "tests/peer/peer.h"
#include "tests/testing/read_file.h"

namespace quern {
namespace {

using testing::ReadFile;

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

/// The vocabularies that have vectors: llama-bpe of ggml-vocab-llama-bpe.gguf.inp.
std::vector<std::string> PublishedNames() {
  constexpr std::string_view kPrefix = "ggml-vocab-";
  constexpr std::string_view kSuffix = ".gguf.inp";
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(peer::ModelsFile(""), none)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    names.push_back(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Those that Quern does not read: WordPiece, and a SentencePiece BPE of its own.
constexpr std::string_view kUnsupported[] = {"bert-bge", "gemma-4"};

class TokenizerVectors : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TokenizerVectors);

TEST_P(TokenizerVectors, AllAgree) {
  const std::string path = peer::ModelsFile("ggml-vocab-" + GetParam() + ".gguf");
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::Load(*file);
  if (std::find(std::begin(kUnsupported), std::end(kUnsupported), GetParam()) !=
      std::end(kUnsupported)) {
    ASSERT_FALSE(tokenizer) << "it is read now: take it from the list";
    EXPECT_EQ(tokenizer.error().code, ErrorCode::kUnsupported);
    return;
  }
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto inputs = SplitInputs(ReadFile(path + ".inp"));
  const auto outputs = ParseOutputs(ReadFile(path + ".out"));
  ASSERT_GE(inputs.size(), 40U);
  ASSERT_EQ(inputs.size(), outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(inputs[i], {.add_special = false}), outputs[i]) << inputs[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerVectors, ::testing::ValuesIn(PublishedNames()),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(PublishedVectors, AreThere) {
  QUERN_SKIP_WITHOUT_MODELS_FILES();
  EXPECT_GE(PublishedNames().size(), 15U);
}

}  // namespace
}  // namespace quern
