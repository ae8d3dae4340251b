// Fits integer codes to weights: finds the scale and offset whose rounded codes leave the least
// squared error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace quern {

/// Sub-blocks of a batch. Lane = sub-block, so sums need no horizontal step, are the same bits on
/// every SIMD target, and so is the whole quantized file.
inline constexpr size_t kFitLanes = 16;

/// Largest sub-block of any format.
inline constexpr size_t kMaxFitElements = 32;

/// A smaller scale counts as 0, since its inverse could overflow.
inline constexpr float kSmallestFitScale = 0x1p-120F;

/// One number for each sub-block.
struct alignas(64) FitLanes {
  std::array<float, kFitLanes> value{};

  float& operator[](size_t lane) { return value[lane]; }
  float operator[](size_t lane) const { return value[lane]; }
};

/// Weights of up to kFitLanes sub-blocks, transposed: element i of sub-block l at [i * kFitLanes +
/// l].
struct FitBatch {
  size_t n = 0;  ///< elements of a sub-block
  alignas(64) std::array<float, kMaxFitElements * kFitLanes> x{};
  alignas(64) std::array<float, kMaxFitElements * kFitLanes> importance{};
  FitLanes importance_sum;
};

/// What w = scale q + offset may be in a format: q is an integer from `low` to `high`.
struct CodeFormat {
  enum class Offset : uint8_t { kNone, kFree, kNotPositive };

  float low;
  float high;
  Offset offset = Offset::kNone;
  bool half_precision = false;  ///< scale and offset are stored as F16
};

/// A scale and offset for each sub-block, and the weighted squared error they leave.
struct CodeFit {
  FitLanes scale;
  FitLanes offset;
  FitLanes error;
};

/// Sums over one sub-block of importance times each term, for residuals r = x - scale q - offset.
struct FitMoments {
  FitLanes rr;
  FitLanes r;
  FitLanes q;
  FitLanes qr;
  FitLanes qq;
};

/// Fills a batch with `count` sub-blocks of `n` consecutive values; absent ones become zeros.
/// `importance` is null for equal weights.
void LoadBatch(const float* x, const float* importance, size_t n, size_t count, FitBatch& batch);

/// The fit that plain rounding uses: the codes span the range of the weights.
void PlainFit(const FitBatch& batch, const CodeFormat& format, CodeFit& fit);

/// The best fit of several starts, PlainFit's among them, each improved by alternating between
/// rounding and least squares.
void SearchFit(const FitBatch& batch, const CodeFormat& format, CodeFit& best);

/// Rounds every x to the code q nearest to (x - offset) / scale and sums up how well scale q +
/// offset fits. Sub-blocks of scale 0 get the code nearest to 0.
void EvaluateFit(const FitBatch& batch, const CodeFormat& format, const FitLanes& scale,
                 const FitLanes& offset, FitMoments& moments);

/// Writes the codes that EvaluateFit uses, sub-block after sub-block, batch.n each.
void AssignCodes(const FitBatch& batch, const CodeFormat& format, const FitLanes& scale,
                 const FitLanes& offset, int8_t* codes);

}  // namespace quern
