#include "gguf/base/digest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace quern {
namespace {

TEST(Digest, Sha256IsFips180s) {
  EXPECT_EQ(Hex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Digest, HmacIsRfc4231s) {
  const std::string key = "Jefe";
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(key.data()), key.size());
  EXPECT_EQ(Hex(HmacSha256(bytes, "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Digest, EqualIsEqual) {
  Sha256Digest other = Sha256("a");
  EXPECT_TRUE(AreEqual(Sha256("a"), other));
  other.back() ^= 1U;
  EXPECT_FALSE(AreEqual(Sha256("a"), other));
}

TEST(Digest, HexGoesBothWays) {
  std::array<uint8_t, 3> bytes{};
  ASSERT_TRUE(ParseHex("00ffA5", bytes));
  EXPECT_EQ(Hex(bytes), "00ffa5");
  for (const char* text : {"", "00ff", "00ffa5a", "00ffa5a5", "00ffag", "0 ffa5", "-1ffa5"}) {
    EXPECT_FALSE(ParseHex(text, bytes)) << text;
  }
}

TEST(Digest, RandomBytesDiffer) {
  std::array<uint8_t, 16> a{};
  std::array<uint8_t, 16> b{};
  FillRandom(a);
  FillRandom(b);
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace quern
