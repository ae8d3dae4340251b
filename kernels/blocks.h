// Block structs of the quantized GGUF types that Quern runs, with their layouts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

/// Bits of an IEEE half-precision float.
using HalfBits = uint16_t;

/// Weights of a block of the K types and of IQ4_XS, and of all the other quantized types.
inline constexpr size_t kSuperBlock = 256;
inline constexpr size_t kSmallBlock = 32;

// In the drawings, q[i] is the integer of weight i of the block, w[i] its value.

/// w[i] = d * (q[i] - 8). Low nibbles of qs hold q[0..15], high nibbles q[16..31].
///   | d f16 | qs 16 |
struct BlockQ4_0 {
  HalfBits d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

/// w[i] = d * q[i] + m. Nibbles as in Q4_0.
///   | d f16 | m f16 | qs 16 |
struct BlockQ4_1 {
  HalfBits d;
  HalfBits m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

/// w[i] = d * (q[i] - 16). Nibbles as in Q4_0; bit i of the 32 bits of qh, little endian, is bit 4
/// of q[i].
///   | d f16 | qh 4 | qs 16 |
struct BlockQ5_0 {
  HalfBits d;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

/// w[i] = d * q[i] + m. Integers as in Q5_0.
///   | d f16 | m f16 | qh 4 | qs 16 |
struct BlockQ5_1 {
  HalfBits d;
  HalfBits m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

/// w[i] = d * qs[i].
///   | d f16 | qs 32 |
struct BlockQ8_0 {
  HalfBits d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

/// w[i] = d * kIq4Values[q[i]]. Nibbles as in Q4_0.
///   | d f16 | qs 16 |
struct BlockIq4Nl {
  HalfBits d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIq4Nl) == 18);

/// The sixteen levels of IQ4_NL and IQ4_XS: denser around zero, where weights are.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// 16 sub-blocks of 16: w[i] = d * s * q[i] - dmin * m, with s and m the low and high nibble of
/// scales[i / 16]. Two bits a weight: bits 2j..2j+1 of qs[32h + l] hold q[128h + 32j + l], h =
/// 0..1, j = 0..3, l = 0..31.
///   | scales 16 | qs 64 | d f16 | dmin f16 |
struct BlockQ2K {
  uint8_t scales[16];
  uint8_t qs[64];
  HalfBits d;
  HalfBits dmin;
};
static_assert(sizeof(BlockQ2K) == 84);

/// 16 sub-blocks of 16: w[i] = d * (s[i / 16] - 32) * (q[i] - 4).
/// Low two bits of q as in Q2_K; bit j of hmask[l] is bit 2 of q[32j + l], j = 0..7.
/// s is 6 bits: bits 0..3 of s[j] are nibble j / 8 of scales[j % 8]; bits 4..5 are bits 2(j / 4)..
/// of scales[8 + j % 4].
///   | hmask 32 | qs 64 | scales 12 | d f16 |
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  HalfBits d;
};
static_assert(sizeof(BlockQ3K) == 110);

/// 8 sub-blocks of 32: w[i] = d * s[i / 32] * q[i] - dmin * m[i / 32].
/// Low nibbles of qs[32j + l] hold q[64j + l], high nibbles q[64j + 32 + l], j = 0..3, l = 0..31.
/// s and m are 6 bits. Sub-blocks j = 0..3: the low six bits of scales[j] and scales[4 + j].
/// Sub-blocks 4 + j: the low and the high nibble of scales[8 + j], with the top two bits of
/// scales[j] and of scales[4 + j] as bits 4..5.
///   | d f16 | dmin f16 | scales 12 | qs 128 |
struct BlockQ4K {
  HalfBits d;
  HalfBits dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4K) == 144);

/// As Q4_K with a fifth bit: bit j of qh[l] is bit 4 of q[32j + l], j = 0..7.
///   | d f16 | dmin f16 | scales 12 | qh 32 | qs 128 |
struct BlockQ5K {
  HalfBits d;
  HalfBits dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5K) == 176);

/// 16 sub-blocks of 16: w[i] = d * scales[i / 16] * (q[i] - 32).
/// Bits 0..3 of q[128h + 32j + l], h = 0..1, j = 0..3, l = 0..31: nibble j / 2 of ql[64h + 32(j %
/// 2) + l]. Bits 4..5: bits 2j..2j+1 of qh[32h + l].
///   | ql 128 | qh 64 | scales 16 | d f16 |
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  HalfBits d;
};
static_assert(sizeof(BlockQ6K) == 210);

/// 8 sub-blocks of 32: w[i] = d * (s[i / 32] - 32) * kIq4Values[q[i]].
/// s is 6 bits: bits 0..3 of s[j] are nibble j % 2 of scales_l[j / 2]; bits 4..5 are bits 2j.. of
/// scales_h. Low nibbles of qs[16j + l] hold q[32j + l], high nibbles q[32j + 16 + l], j = 0..7, l
/// = 0..15.
///   | d f16 | scales_h u16 | scales_l 4 | qs 128 |
struct BlockIq4Xs {
  HalfBits d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIq4Xs) == 136);

}  // namespace quern
