#include "tools/options/token_list.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

TEST(TokenList, SeparatorsAreCommasSpaceAndBrackets) {
  const std::vector<Token> expected = {1, 22, 0};
  for (const char* text : {"1,22,0", " 1 22\t0\n", "[1, 22, 0]"}) {
    const auto tokens = ParseTokens(text);
    ASSERT_TRUE(tokens) << tokens.error().message;
    EXPECT_EQ(*tokens, expected) << text;
  }
  EXPECT_TRUE(ParseTokens(" \n")->empty());
}

TEST(TokenList, WhatIsNoIdIsNamed) {
  for (const char* word : {"x", "-1", "1.5", "99999999999"}) {
    const auto tokens = ParseTokens(std::string("1 ") + word);
    ASSERT_FALSE(tokens) << word;
    EXPECT_EQ(tokens.error().message, fmt::format("'{}' is not a token id", word));
  }
  const testing::TempDir folder;
  std::ofstream(folder.File("ids")) << "1 x";
  const auto tokens = ReadTokensFile(folder.File("ids"));
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().message, folder.File("ids") + ": 'x' is not a token id");
}

}  // namespace
}  // namespace quern
