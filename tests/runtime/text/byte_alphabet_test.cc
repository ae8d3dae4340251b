#include "runtime/text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace quern {
namespace {

TEST(ByteAlphabet, EachByteHasOneCharacter) {
  std::set<int> bytes;
  for (char32_t c = 0; c < 0x144; ++c) {
    const int byte = ByteOfCharacter(c);
    if (byte >= 0) {
      EXPECT_TRUE(bytes.insert(byte).second) << byte;
    }
  }
  EXPECT_EQ(bytes.size(), 256U);
  EXPECT_EQ(ByteOfCharacter(0x144), -1);
}

TEST(ByteAlphabet, KnownCharacters) {
  EXPECT_EQ(ByteOfCharacter(U'a'), 'a');
  EXPECT_EQ(ByteOfCharacter(U'\u0120'), ' ');
  EXPECT_EQ(ByteOfCharacter(U'\u010a'), '\n');
  EXPECT_EQ(ByteOfCharacter(U'\u0143'), 0xAD);
  EXPECT_EQ(ByteOfCharacter(U' '), -1);
}

TEST(ByteAlphabet, AForeignCharacterLeavesTheOutputAlone) {
  std::string out = "x";
  EXPECT_TRUE(AppendSpelledBytes("\u0120the", out));
  EXPECT_EQ(out, "x the");
  EXPECT_FALSE(AppendSpelledBytes("a b", out));
  EXPECT_FALSE(AppendSpelledBytes("a\u2581", out));
  EXPECT_EQ(out, "x the");
}

}  // namespace
}  // namespace quern
