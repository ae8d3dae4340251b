#include "kernels/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/half.h"

namespace quern {
namespace {

// A block as bytes, to be filled at the offsets of its format.
class Block {
 public:
  explicit Block(GgmlType type) : type_(type), bytes_(TraitsOf(type).block_bytes) {}

  uint8_t& operator[](size_t i) { return bytes_.at(i); }

  void SetHalf(size_t offset, float value) {
    const uint16_t bits = F32ToF16(value);
    std::memcpy(&bytes_.at(offset), &bits, sizeof(bits));
  }

  std::vector<float> Decode() const {
    std::vector<float> out(TraitsOf(type_).block_elements);
    DequantizeRow(type_, reinterpret_cast<const std::byte*>(bytes_.data()), out.size(), out.data());
    return out;
  }

 private:
  GgmlType type_;
  std::vector<uint8_t> bytes_;
};

// `background` everywhere but at the given positions.
struct Spot {
  size_t index;
  float value;
};
std::vector<float> Expected(size_t n, float background, std::initializer_list<Spot> spots) {
  std::vector<float> values(n, background);
  for (const Spot& spot : spots) values.at(spot.index) = spot.value;
  return values;
}

TEST(ReferenceTest, Floats) {
  const std::vector<float> values = {1.5F, -0.0F, 3e38F};
  std::vector<float> out(3);
  DequantizeRow(GgmlType::kF32, reinterpret_cast<const std::byte*>(values.data()), 3, out.data());
  EXPECT_EQ(out, values);

  const std::vector<uint16_t> halves = {0x3C00, 0xC100, 0x0001};
  DequantizeRow(GgmlType::kF16, reinterpret_cast<const std::byte*>(halves.data()), 3, out.data());
  EXPECT_THAT(out, testing::ElementsAre(1.0F, -2.5F, 0x1p-24F));

  const std::vector<uint16_t> bfloats = {0x3F80, 0xC020, 0x0001};
  DequantizeRow(GgmlType::kBF16, reinterpret_cast<const std::byte*>(bfloats.data()), 3, out.data());
  EXPECT_THAT(out, testing::ElementsAre(1.0F, -2.5F, 0x1p-133F));
}

TEST(ReferenceTest, SeveralBlocksOfARow) {
  std::vector<uint8_t> row(3 * 34);
  for (size_t b = 0; b < 3; ++b) {
    row[34 * b + 1] = 0x3C;  // d = 1
    row[34 * b + 2] = static_cast<uint8_t>(b + 1);
  }
  std::vector<float> out(96);
  DequantizeRow(GgmlType::kQ8_0, reinterpret_cast<const std::byte*>(row.data()), 96, out.data());
  EXPECT_EQ(out, Expected(96, 0, {{0, 1}, {32, 2}, {64, 3}}));
}

TEST(ReferenceTest, Q8_0) {
  Block block(GgmlType::kQ8_0);
  block.SetHalf(0, 0.5F);
  block[2] = 127;
  block[2 + 31] = static_cast<uint8_t>(-128);
  EXPECT_EQ(block.Decode(), Expected(32, 0, {{0, 63.5F}, {31, -64}}));
}

TEST(ReferenceTest, Q4_0) {
  Block block(GgmlType::kQ4_0);
  block.SetHalf(0, 0.25F);
  block[2] = 0xF3;       // elements 0 and 16
  block[2 + 15] = 0x08;  // elements 15 and 31
  EXPECT_EQ(block.Decode(), Expected(32, -2, {{0, -1.25F}, {16, 1.75F}, {15, 0}, {31, -2}}));
}

TEST(ReferenceTest, Q4_1) {
  Block block(GgmlType::kQ4_1);
  block.SetHalf(0, 0.25F);
  block.SetHalf(2, -3);
  block[4 + 1] = 0xA4;  // elements 1 and 17
  EXPECT_EQ(block.Decode(), Expected(32, -3, {{1, -2}, {17, -0.5F}}));
}

TEST(ReferenceTest, Q5_0) {
  Block block(GgmlType::kQ5_0);
  block.SetHalf(0, 0.5F);
  block[2] = 0x02;      // fifth bit of element 1
  block[2 + 3] = 0x80;  // of element 31
  block[6 + 1] = 0x53;  // nibbles of elements 1 and 17
  EXPECT_EQ(block.Decode(), Expected(32, -8, {{1, 1.5F}, {17, -5.5F}, {31, 0}}));
}

TEST(ReferenceTest, Q5_1) {
  Block block(GgmlType::kQ5_1);
  block.SetHalf(0, 0.5F);
  block.SetHalf(2, 1);
  block[4 + 2] = 0x01;  // fifth bit of element 16
  block[8] = 0x2F;      // nibbles of elements 0 and 16
  EXPECT_EQ(block.Decode(), Expected(32, 1, {{0, 8.5F}, {16, 10}}));
}

TEST(ReferenceTest, Q2_K) {
  Block block(GgmlType::kQ2_K);
  for (size_t k = 0; k < 16; ++k) block[k] = 0x11;  // min 1, scale 1
  block[9] = 0x53;                                  // elements 144 to 159: min 5, scale 3
  block[16 + 32 + 16] = 0x0C;                       // second half, byte 16: element 128 + 32 + 16
  block[16 + 32 + 17] = 0x02;                       // element 128 + 17 of scale 9
  block.SetHalf(80, 2);
  block.SetHalf(82, 0.5F);
  std::vector<float> expected = Expected(256, -0.5F, {{176, 2 * 3 - 0.5F}});
  for (size_t i = 144; i < 160; ++i) expected[i] = -2.5F;
  expected[145] = 2 * 3 * 2 - 2.5F;
  EXPECT_EQ(block.Decode(), expected);
}

TEST(ReferenceTest, Q3_K) {
  Block block(GgmlType::kQ3_K);
  // All scales 32 (zero after the offset): their upper two bits are 2.
  for (size_t j = 0; j < 4; ++j) block[96 + 8 + j] = 0xAA;
  block.SetHalf(108, 0.5F);
  EXPECT_EQ(block.Decode(), Expected(256, 0, {}));

  block[96 + 3] = 0x51;        // scale 3: low 1, so 33; scale 11: low 5, so 37
  block[0] = 0x02;             // third bit of element 32
  block[16] = 0x22;            // third bits of elements 48 (scale 3) and 176 (scale 11)
  block[32 + 16] = 0x04;       // element 48: low bits 1
  block[32 + 32 + 17] = 0x0C;  // element 177: low bits 3
  std::vector<float> expected = Expected(256, 0, {});
  for (size_t i = 48; i < 64; ++i) expected[i] = 0.5F * 1 * -4;
  for (size_t i = 176; i < 192; ++i) expected[i] = 0.5F * 5 * -4;
  expected[48] = 0.5F * 1 * 1;
  expected[176] = 0.5F * 5 * 0;
  expected[177] = 0.5F * 5 * -1;
  EXPECT_EQ(block.Decode(), expected);
}

TEST(ReferenceTest, Q4_K) {
  Block block(GgmlType::kQ4_K);
  block.SetHalf(0, 0.5F);
  block.SetHalf(2, 0.25F);
  block[4 + 1] = 0xC0 | 3;  // sub-block 1: scale 3; upper bits of sub-block 5's scale: 3
  block[4 + 5] = 0x40 | 7;  // sub-block 1: min 7; upper bits of sub-block 5's min: 1
  block[4 + 9] = 0x95;      // sub-block 5: scale 5 + 48, min 9 + 16
  block[16 + 31] = 0xA1;    // elements 31 and 63
  block[16 + 64] = 0x60;    // elements 128 and 160
  std::vector<float> expected = Expected(256, 0, {});
  for (size_t i = 32; i < 64; ++i) expected[i] = -0.25F * 7;
  for (size_t i = 160; i < 192; ++i) expected[i] = -0.25F * 25;
  expected[63] = 0.5F * 3 * 10 - 0.25F * 7;
  expected[160] = 0.5F * 53 * 6 - 0.25F * 25;
  EXPECT_EQ(block.Decode(), expected);
}

TEST(ReferenceTest, Q5_K) {
  Block block(GgmlType::kQ5_K);
  block.SetHalf(0, 0.5F);
  block.SetHalf(2, 0.25F);
  block[4 + 2] = 5;       // sub-block 2: scale 5
  block[4 + 6] = 4;       // sub-block 2: min 4
  block[16 + 3] = 0x04;   // fifth bit of element 3 of sub-block 2
  block[48 + 35] = 0x07;  // nibble of the same element, 67
  std::vector<float> expected = Expected(256, 0, {});
  for (size_t i = 64; i < 96; ++i) expected[i] = -1;
  expected[67] = 0.5F * 5 * 23 - 1;
  EXPECT_EQ(block.Decode(), expected);
}

TEST(ReferenceTest, Q6_K) {
  Block block(GgmlType::kQ6_K);
  block.SetHalf(208, 0.5F);
  // All quants 32 (zero after the offset): the upper two bits are 2.
  for (size_t l = 0; l < 64; ++l) block[128 + l] = 0xAA;
  for (size_t k = 0; k < 16; ++k) block[192 + k] = 1;
  block[192 + 3] = static_cast<uint8_t>(-2);
  EXPECT_EQ(block.Decode(), Expected(256, 0, {}));

  block[32 + 20] = 0x71;       // elements 52 (scale 3) and 116 (scale 7): low nibbles 1 and 7
  block[64 + 5] = 0x03;        // element 133 (scale 8): low nibble 3
  block[128 + 32 + 5] = 0xAB;  // and its upper bits 3
  EXPECT_EQ(block.Decode(), Expected(256, 0, {{52, -1.0F}, {116, 3.5F}, {133, 0.5F * 19}}));
}

TEST(ReferenceTest, IQ4_NL) {
  Block block(GgmlType::kIQ4_NL);
  block.SetHalf(0, 0.5F);
  block[2 + 4] = 0xF8;  // elements 4 and 20
  EXPECT_EQ(block.Decode(), Expected(32, -63.5F, {{4, 0.5F}, {20, 56.5F}}));
}

TEST(ReferenceTest, IQ4_XS) {
  Block block(GgmlType::kIQ4_XS);
  block.SetHalf(0, 0.5F);
  block[2] = 0xAA;  // all scales 32: zero after the offset
  block[3] = 0xAA;
  block[4 + 1] = 0x30;   // sub-block 3: scale 35
  block[3] = 0xEA;       // sub-block 7: upper bits 3, scale 48
  block[8 + 48] = 0x98;  // elements 96 and 112
  std::vector<float> expected = Expected(256, 0, {});
  for (size_t i = 96; i < 128; ++i) expected[i] = 0.5F * 3 * -127;
  for (size_t i = 224; i < 256; ++i) expected[i] = 0.5F * 16 * -127;
  expected[96] = 0.5F * 3 * 1;
  expected[112] = 0.5F * 3 * 13;
  EXPECT_EQ(block.Decode(), expected);
}

}  // namespace
}  // namespace quern
