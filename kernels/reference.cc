#include "kernels/reference.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "gguf/base/check.h"
#include "kernels/half.h"

// Byte offsets are spelled out here, and nothing is shared with the kernels, so that a mistake in
// their block structs cannot hide itself. Arithmetic is in float, left to right as each formula
// stands.
namespace quern {
namespace {

using Bytes = const uint8_t*;

uint16_t U16(Bytes p) { return static_cast<uint16_t>(p[0] | (p[1] << 8)); }
float Half(Bytes p) { return F16ToF32(U16(p)); }
int Low(uint8_t byte) { return byte & 15; }
int High(uint8_t byte) { return byte >> 4; }
int Bit(uint8_t byte, size_t bit) { return (byte >> bit) & 1; }

void DecodeF32(Bytes b, float* out) { std::memcpy(out, b, sizeof(float)); }
void DecodeF16(Bytes b, float* out) { *out = Half(b); }
void DecodeBF16(Bytes b, float* out) { *out = Bf16ToF32(U16(b)); }

// d, q[32]: w = d q
void DecodeQ8_0(Bytes b, float* out) {
  const float d = Half(b);
  for (size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(b[2 + i]));
}

// Nibble i of the 32-element types: byte i's low half for the first 16 elements, then the high
// halves.
int Nibble32(Bytes qs, size_t i) { return i < 16 ? Low(qs[i]) : High(qs[i - 16]); }

// d, nibbles[16]: w = d (q - 8)
void DecodeQ4_0(Bytes b, float* out) {
  const float d = Half(b);
  for (size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(Nibble32(b + 2, i) - 8);
}

// d, m, nibbles[16]: w = d q + m
void DecodeQ4_1(Bytes b, float* out) {
  const float d = Half(b);
  const float m = Half(b + 2);
  for (size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(Nibble32(b + 4, i)) + m;
}

// d, fifth bits[4] (bit i belongs to element i), nibbles[16]: w = d (q - 16)
void DecodeQ5_0(Bytes b, float* out) {
  const float d = Half(b);
  for (size_t i = 0; i < 32; ++i) {
    const int q = Nibble32(b + 6, i) + 16 * Bit(b[2 + i / 8], i % 8);
    out[i] = d * static_cast<float>(q - 16);
  }
}

// d, m, fifth bits[4], nibbles[16]: w = d q + m
void DecodeQ5_1(Bytes b, float* out) {
  const float d = Half(b);
  const float m = Half(b + 2);
  for (size_t i = 0; i < 32; ++i) {
    const int q = Nibble32(b + 8, i) + 16 * Bit(b[4 + i / 8], i % 8);
    out[i] = d * static_cast<float>(q) + m;
  }
}

// Two bits of element i of the 256-element types: halves of 128 share 32 bytes, each byte serving
// elements 32 apart.
int TwoBits256(Bytes qs, size_t i) {
  return (qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
}

// (min, scale) nibbles[16], two-bit quants[64], d, dmin: w = d sc q - dmin m, for each 16 elements
void DecodeQ2_K(Bytes b, float* out) {
  const float d = Half(b + 80);
  const float dmin = Half(b + 82);
  for (size_t i = 0; i < 256; ++i) {
    const uint8_t scales = b[i / 16];
    out[i] = d * static_cast<float>(Low(scales)) * static_cast<float>(TwoBits256(b + 16, i)) -
             dmin * static_cast<float>(High(scales));
  }
}

// third bits[32], two-bit quants[64], six-bit scales[12], d: w = d (sc - 32) (q - 4), for each 16
// elements. Scale k: low four bits are nibble k of the first 8 bytes (low halves, then high), the
// upper two are bits 2(k/4) of byte 8 + k%4.
void DecodeQ3_K(Bytes b, float* out) {
  const float d = Half(b + 108);
  Bytes scales = b + 96;
  for (size_t i = 0; i < 256; ++i) {
    const size_t k = i / 16;
    const int low = k < 8 ? Low(scales[k]) : High(scales[k - 8]);
    const int sc = low | (((scales[8 + k % 4] >> (2 * (k / 4))) & 3) << 4);
    const int q = TwoBits256(b + 32, i) + 4 * Bit(b[i % 32], i / 32);
    out[i] = d * static_cast<float>(sc - 32) * static_cast<float>(q - 4);
  }
}

struct ScaleMin {
  int scale;
  int min;
};

// Six-bit scale and min of sub-block k of Q4_K and Q5_K out of their 12 bytes.
ScaleMin ScaleMinOf(Bytes s, size_t k) {
  if (k < 4) return {s[k] & 63, s[k + 4] & 63};
  return {Low(s[k + 4]) | ((s[k - 4] >> 6) << 4), High(s[k + 4]) | ((s[k] >> 6) << 4)};
}

// Nibble of element i: sub-blocks 2j and 2j+1 are the low and high halves of bytes 32j to 32j+31.
int Nibble256(Bytes qs, size_t i) {
  const uint8_t byte = qs[32 * (i / 64) + i % 32];
  return i % 64 < 32 ? Low(byte) : High(byte);
}

// d, dmin, scales[12], nibbles[128]: w = d sc q - dmin m, for each 32 elements
void DecodeQ4_K(Bytes b, float* out) {
  const float d = Half(b);
  const float dmin = Half(b + 2);
  for (size_t i = 0; i < 256; ++i) {
    const ScaleMin s = ScaleMinOf(b + 4, i / 32);
    out[i] = d * static_cast<float>(s.scale) * static_cast<float>(Nibble256(b + 16, i)) -
             dmin * static_cast<float>(s.min);
  }
}

// d, dmin, scales[12], fifth bits[32] (bit s of byte l: element l of sub-block s), nibbles[128]: as
// Q4_K
void DecodeQ5_K(Bytes b, float* out) {
  const float d = Half(b);
  const float dmin = Half(b + 2);
  for (size_t i = 0; i < 256; ++i) {
    const ScaleMin s = ScaleMinOf(b + 4, i / 32);
    const int q = Nibble256(b + 48, i) + 16 * Bit(b[16 + i % 32], i / 32);
    out[i] =
        d * static_cast<float>(s.scale) * static_cast<float>(q) - dmin * static_cast<float>(s.min);
  }
}

// ql[128], qh[64], scales[16], d: w = d sc (q - 32), for each 16 elements. In each half of 128,
// four quarters of 32 elements: ql bytes 0-31 low, 32-63 low, 0-31 high, 32-63 high; quarter r has
// bits 2r, 2r+1 of qh.
void DecodeQ6_K(Bytes b, float* out) {
  const float d = Half(b + 208);
  for (size_t i = 0; i < 256; ++i) {
    const size_t half = i / 128;
    const size_t quarter = i % 128 / 32;
    const size_t l = i % 32;
    const uint8_t ql = b[64 * half + 32 * (quarter % 2) + l];
    const int high = (b[128 + 32 * half + l] >> (2 * quarter)) & 3;
    const int q = (quarter < 2 ? Low(ql) : High(ql)) | (high << 4);
    const auto sc = static_cast<int8_t>(b[192 + i / 16]);
    out[i] = d * static_cast<float>(sc) * static_cast<float>(q - 32);
  }
}

constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// d, nibbles[16]: w = d T[q]
void DecodeIQ4_NL(Bytes b, float* out) {
  const float d = Half(b);
  for (size_t i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(kIq4Values[static_cast<size_t>(Nibble32(b + 2, i))]);
  }
}

// d, scales_h u16, scales_l[4], nibbles[128], 16 bytes per sub-block of 32: w = d (ls - 32) T[q]
void DecodeIQ4_XS(Bytes b, float* out) {
  const float d = Half(b);
  const uint16_t scales_h = U16(b + 2);
  for (size_t s = 0; s < 8; ++s) {
    const uint8_t pair = b[4 + s / 2];
    const int ls = (s % 2 == 0 ? Low(pair) : High(pair)) | (((scales_h >> (2 * s)) & 3) << 4);
    for (size_t i = 0; i < 32; ++i) {
      const auto q = static_cast<size_t>(Nibble32(b + 8 + 16 * s, i));
      out[32 * s + i] = d * static_cast<float>(ls - 32) * static_cast<float>(kIq4Values[q]);
    }
  }
}

using BlockDecoder = void (*)(Bytes block, float* out);

BlockDecoder DecoderOf(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return DecodeF32;
    case GgmlType::kF16:
      return DecodeF16;
    case GgmlType::kBF16:
      return DecodeBF16;
    case GgmlType::kQ8_0:
      return DecodeQ8_0;
    case GgmlType::kQ4_0:
      return DecodeQ4_0;
    case GgmlType::kQ4_1:
      return DecodeQ4_1;
    case GgmlType::kQ5_0:
      return DecodeQ5_0;
    case GgmlType::kQ5_1:
      return DecodeQ5_1;
    case GgmlType::kQ2_K:
      return DecodeQ2_K;
    case GgmlType::kQ3_K:
      return DecodeQ3_K;
    case GgmlType::kQ4_K:
      return DecodeQ4_K;
    case GgmlType::kQ5_K:
      return DecodeQ5_K;
    case GgmlType::kQ6_K:
      return DecodeQ6_K;
    case GgmlType::kIQ4_NL:
      return DecodeIQ4_NL;
    case GgmlType::kIQ4_XS:
      return DecodeIQ4_XS;
    default:
      return nullptr;
  }
}

}  // namespace

bool IsDequantizable(GgmlType type) { return DecoderOf(type) != nullptr; }

void DequantizeRow(GgmlType type, const std::byte* row, size_t n_cols, float* out) {
  const GgmlTypeTraits& traits = TraitsOf(type);
  const BlockDecoder decode = DecoderOf(type);
  QUERN_DCHECK(decode != nullptr);
  QUERN_DCHECK(n_cols % traits.block_elements == 0);
  const auto* block = reinterpret_cast<Bytes>(row);
  for (size_t i = 0; i < n_cols; i += traits.block_elements, block += traits.block_bytes) {
    decode(block, out + i);
  }
}

}  // namespace quern
