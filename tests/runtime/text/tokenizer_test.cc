#include "runtime/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::VocabularyFile;

Tokenizer Load(VocabularyFile& file) {
  auto tokenizer = Tokenizer::Load(file.file());
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

/// Ids 0 and 1 are BOS and <|eot_id|>; 2 + b is byte b; 258 is " a".
VocabularyFile ByteLevelFile() {
  VocabularyFile file("gpt2");
  file.Add("<|begin_of_text|>", TokenType::kControl).Add("<|eot_id|>", TokenType::kControl);
  int substitute = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    std::string text;
    const int character = is_printable ? byte : substitute++;
    if (character >= 0x80) text.push_back(static_cast<char>(0xC0 | character >> 6));
    text.push_back(static_cast<char>(character < 0x80 ? character : 0x80 | (character & 0x3F)));
    file.Add(text);
  }
  file.Add("\u0120a").AddMerge("\u0120 a");
  file.writer().SetString("tokenizer.ggml.pre", "llama-bpe");
  file.writer().SetUint32("tokenizer.ggml.bos_token_id", 0);
  file.writer().SetUint32("tokenizer.ggml.eos_token_id", 1);
  return file;
}

VocabularyFile SentencePieceFile() {
  VocabularyFile file("llama");
  file.Add("<unk>", TokenType::kUnknown).Add("<s>", TokenType::kControl);
  file.Add("</s>", TokenType::kControl).Add("\u2581", TokenType::kNormal, -5).Add("a").Add("b");
  file.Add("\u2581a", TokenType::kNormal, -1).Add("<0xE6>", TokenType::kByte);
  file.Add("<0x96>", TokenType::kByte).Add("<0x87>", TokenType::kByte);
  return file;
}

TEST(Tokenizer, ByteLevelEncodeAndDecode) {
  VocabularyFile file = ByteLevelFile();
  const Tokenizer tokenizer = Load(file);
  EXPECT_THAT(tokenizer.Encode("b a"), ElementsAre(0, 2 + 'b', 258));
  EXPECT_THAT(tokenizer.Encode("b a", {.add_special = false}), ElementsAre(2 + 'b', 258));
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre(0));
  const std::string text = "na\u00efve \u6587\U0001F600\n a, b ?";
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("a\xff")), "a\ufffd");
  EXPECT_EQ(tokenizer.n_vocab(), 259U);
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.bos(), 0);
  EXPECT_EQ(tokenizer.eos(), 1);
}

TEST(Tokenizer, ControlTokensAreParsedAndShownOnRequest) {
  VocabularyFile file = ByteLevelFile();
  const Tokenizer tokenizer = Load(file);
  const EncodeOptions parse = {.add_special = false, .parse_special = true};
  EXPECT_THAT(tokenizer.Encode(" a<|eot_id|>b", parse), ElementsAre(258, 1, 2 + 'b'));
  EXPECT_EQ(tokenizer.Encode("<|eot_id|>", {.add_special = false}).size(), 10U);
  const std::vector<Token> tokens = {0, 258, 1};
  EXPECT_EQ(tokenizer.Decode(tokens), " a");
  EXPECT_EQ(tokenizer.Decode(tokens, true), "<|begin_of_text|> a<|eot_id|>");
  EXPECT_TRUE(tokenizer.IsEndOfGeneration(1));
}

TEST(Tokenizer, TheFileDecidesAboutBosAndEos) {
  VocabularyFile file = ByteLevelFile();
  file.writer().SetBool("tokenizer.ggml.add_bos_token", false);
  file.writer().SetBool("tokenizer.ggml.add_eos_token", true);
  EXPECT_THAT(Load(file).Encode(" a"), ElementsAre(258, 1));
}

TEST(Tokenizer, IdsOutsideTheVocabularyHaveNoText) {
  VocabularyFile file = ByteLevelFile();
  const Tokenizer tokenizer = Load(file);
  EXPECT_EQ(tokenizer.Piece(-1), "");
  EXPECT_EQ(tokenizer.Piece(259), "");
  EXPECT_EQ(tokenizer.Decode(std::vector<Token>{258, 1000000, 258}), " a a");
}

TEST(Tokenizer, SentencePieceAddsASpaceAndTakesItAway) {
  VocabularyFile file = SentencePieceFile();
  const Tokenizer tokenizer = Load(file);
  EXPECT_THAT(tokenizer.Encode("ab"), ElementsAre(1, 6, 5));
  EXPECT_THAT(tokenizer.Encode(" a"), ElementsAre(1, 3, 6));
  EXPECT_THAT(tokenizer.Encode("a<s>a", {.parse_special = true}), ElementsAre(1, 6, 1, 6));
  EXPECT_EQ(tokenizer.Decode(std::vector<Token>{6, 5, 6}), "ab a");
  // As llama.cpp: BOS, even unseen, is what came first.
  EXPECT_EQ(tokenizer.Decode(std::vector<Token>{1, 6, 5}), " ab");
}

TEST(Tokenizer, SentencePieceWithoutTheSpace) {
  VocabularyFile file = SentencePieceFile();
  file.writer().SetBool("tokenizer.ggml.add_space_prefix", false);
  const Tokenizer tokenizer = Load(file);
  EXPECT_THAT(tokenizer.Encode("ab"), ElementsAre(1, 4, 5));
  EXPECT_EQ(tokenizer.Decode(std::vector<Token>{6, 5}), " ab");
}

TEST(Tokenizer, UnknownPreTokenizerIsNamedAmongTheKnown) {
  VocabularyFile file = ByteLevelFile();
  file.writer().SetString("tokenizer.ggml.pre", "no-such");
  auto tokenizer = Tokenizer::Load(file.file());
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("'no-such'"));
  EXPECT_THAT(tokenizer.error().message, HasSubstr("qwen2"));
}

TEST(StreamingDetokenizer, NeverGivesHalfACharacter) {
  VocabularyFile file = ByteLevelFile();
  const Tokenizer tokenizer = Load(file);
  StreamingDetokenizer stream(tokenizer);
  std::vector<std::string> given;
  for (const Token token : tokenizer.Encode("a\u6587\U0001F600", {.add_special = false})) {
    given.push_back(stream.Add(token));
  }
  EXPECT_THAT(given, ElementsAre("a", "", "", "\u6587", "", "", "", "\U0001F600"));
  EXPECT_EQ(stream.Finish(), "");
}

TEST(StreamingDetokenizer, InvalidBytesAreReplaced) {
  VocabularyFile file = ByteLevelFile();
  const Tokenizer tokenizer = Load(file);
  StreamingDetokenizer stream(tokenizer);
  EXPECT_EQ(stream.Add(2 + 0xE6), "");
  EXPECT_EQ(stream.Add(2 + 0x96), "");
  EXPECT_EQ(stream.Add(2 + 'a'), "\ufffda");
  EXPECT_EQ(stream.Add(2 + 0x80), "\ufffd");
  EXPECT_EQ(stream.Add(2 + 0xF0), "");
  EXPECT_EQ(stream.Finish(), "\ufffd");
  EXPECT_EQ(stream.Finish(), "");
}

/// Prompt and answer together are what Decode gives of both, the space between them included.
TEST(StreamingDetokenizer, GoesOnWhereThePromptEnded) {
  VocabularyFile file = SentencePieceFile();
  const Tokenizer tokenizer = Load(file);
  for (const std::vector<Token>& answer :
       std::vector<std::vector<Token>>{{6, 5, 6}, {5, 6}, {7, 8, 9, 6}, {3, 3, 4}, {}}) {
    std::vector<Token> all = {6, 5};
    std::string text = tokenizer.Decode(all);
    all.insert(all.end(), answer.begin(), answer.end());
    StreamingDetokenizer stream(tokenizer);
    for (const Token token : answer) text += stream.Add(token);
    EXPECT_EQ(text + stream.Finish(), tokenizer.Decode(all));
  }
}

}  // namespace
}  // namespace quern
