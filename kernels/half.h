// Scalar conversions between float and the two 16-bit float formats, exact or rounded to nearest
// even.
#pragma once

#include <bit>
#include <cstdint>

namespace quern {

/// Largest finite F16 value.
inline constexpr float kF16Max = 65504.0F;

/// The value of IEEE 754 binary16 bits, exactly; a NaN keeps its payload.
inline float F16ToF32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (magnitude << 13));
  // Exponent and mantissa moved into place are the value times 2^-112; the product is exact, also
  // for subnormals.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

/// The nearest binary16, ties to even; too large a value becomes infinity, a NaN stays one.
inline uint16_t F32ToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U)
    return sign | 0x7E00U | static_cast<uint16_t>((magnitude >> 13) & 0x1FFU);
  if (magnitude >= 0x477FF000U) return sign | 0x7C00U;  // from 65520 on, halfway to 2^16
  if (magnitude < 0x38800000U) {
    // Below 2^-14: adding 0.5 leaves multiples of 2^-24, the subnormal step, in the low mantissa
    // bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3F000000U);
  }
  const uint32_t odd = (magnitude >> 13) & 1U;
  return sign | static_cast<uint16_t>((magnitude + 0xFFFU + odd - 0x38000000U) >> 13);
}

/// The value of bfloat16 bits: the upper half of a float.
inline float Bf16ToF32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// The nearest bfloat16, ties to even; a NaN stays one.
inline uint16_t F32ToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace quern
