#include "kernels/super_block_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/half.h"

namespace quern {
namespace {

// Codes by which the largest scale and min stay below the highest: other values of d and dmin
// divide the scales of the other sub-blocks better. Four starts are 0.4% (Q4_K) to 1.1% (Q5_K)
// better than the first alone.
constexpr float kLowered[] = {0.0F, 2.0F, 4.0F, 6.0F};

// The factor as stored. One that is not 0 stays so: rounded to 0 it would wipe out the super-block,
// while the smallest one still lets small codes come near the weights.
float StoredFactor(float factor) {
  const float stored = F16ToF32(F32ToF16(std::clamp(factor, -kF16Max, kF16Max)));
  return stored == 0 && factor != 0 ? std::copysign(0x1p-24F, factor) : stored;
}

// As StoredFactor, but never smaller than `factor`, so that codes chosen for it do not overflow. It
// matters where halves are coarse: d of a Q6_K block is below 2^-14, and so subnormal, for all
// weights up to 1/4.
float StoredFactorAbove(float factor) {
  const float stored = StoredFactor(factor);
  if (std::abs(stored) >= std::min(std::abs(factor), kF16Max)) return stored;
  return F16ToF32(static_cast<uint16_t>(F32ToF16(stored) + 1));
}

// value / factor as a code; 0 for a factor of 0.
float RoundCode(float value, float factor, float low, float high) {
  const float code = factor == 0 ? 0.0F : value / factor;
  constexpr float kRounder = 0x1.8p23F;  // adding it leaves no bits below 1
  return (std::min(std::max(code, low), high) + kRounder) - kRounder;
}

class Search {
 public:
  Search(const FitBatch& batch, const SuperBlockFormat& format) : batch_(batch), format_(format) {
    best_.error.value.fill(std::numeric_limits<float>::max());
  }

  SuperBlockFit Run() {
    CodeFit fit;
    PlainFit(batch_, format_.codes, fit);
    Improve(fit, 0);
    SearchFit(batch_, format_.codes, fit);
    for (const float lowered : kLowered) Improve(fit, lowered);
    return best_;
  }

 private:
  bool HasMins() const { return format_.max_min_code > 0; }

  // One descent from `fit`, whose scales and offsets are not bound to codes.
  void Improve(const CodeFit& fit, float lowered) {
    Start(fit, lowered);
    KeepBest();
    ChooseCodes();
    KeepBest();
    RefineFactors();
    KeepBest();
  }

  // Sets d and dmin by the largest scale and min, and rounds all to codes.
  void Start(const CodeFit& fit, float lowered) {
    ForEachSuperBlock([&](size_t begin, size_t end) {
      float largest_scale = 0;
      float largest_min = 0;
      for (size_t l = begin; l < end; ++l) {
        if (std::abs(fit.scale[l]) > std::abs(largest_scale)) largest_scale = fit.scale[l];
        largest_min = std::max(largest_min, -fit.offset[l]);
      }
      // Signed codes reach one farther below 0.
      const float top = format_.low_scale_code < 0 ? format_.low_scale_code + lowered
                                                   : format_.high_scale_code - lowered;
      const float d = StoredFactorAbove(largest_scale / top);
      const float dmin =
          HasMins() ? StoredFactorAbove(largest_min / (format_.max_min_code - lowered)) : 0;
      for (size_t l = begin; l < end; ++l) {
        now_.d[l] = d;
        now_.dmin[l] = dmin;
        now_.scale_code[l] = RoundScale(fit.scale[l], d);
        now_.min_code[l] = RoundMin(-fit.offset[l], dmin);
      }
    });
    Evaluate();
  }

  // For every sub-block the best of the three nearest scale codes, each with the min that suits it.
  void ChooseCodes() {
    const SuperBlockFit from = now_;
    const float middle = (format_.codes.high + format_.codes.low) / 2;
    for (const float step : {-1.0F, 0.0F, 1.0F}) {
      SuperBlockFit trial = from;
      for (size_t l = 0; l < kFitLanes; ++l) {
        trial.scale_code[l] = RoundScale(from.scale_code[l] + step, 1);
        // Turn about the middle code, not about code 0.
        const float turn = (trial.scale_code[l] - from.scale_code[l]) * from.d[l] * middle;
        trial.min_code[l] = RoundMin(from.min_code[l] * from.dmin[l] + turn, from.dmin[l]);
      }
      TryCodes(trial);
      if (!HasMins()) continue;
      for (size_t l = 0; l < kFitLanes; ++l) {
        const float weight = batch_.importance_sum[l];
        const float mean = weight > 0 ? moments_.r[l] / weight : 0.0F;
        trial.min_code[l] = RoundMin(trial.min_code[l] * from.dmin[l] - mean, from.dmin[l]);
      }
      TryCodes(trial);
    }
  }

  // Takes the codes of `trial` for the sub-blocks that they suit better.
  void TryCodes(const SuperBlockFit& trial) {
    EvaluateFit(batch_, format_.codes, trial.Scale(), trial.Offset(), moments_);
    for (size_t l = 0; l < kFitLanes; ++l) {
      const bool better = moments_.rr[l] < now_.error[l];
      now_.scale_code[l] = better ? trial.scale_code[l] : now_.scale_code[l];
      now_.min_code[l] = better ? trial.min_code[l] : now_.min_code[l];
      now_.error[l] = better ? moments_.rr[l] : now_.error[l];
    }
  }

  // Least squares for d and dmin with all codes fixed.
  void RefineFactors() {
    Evaluate();
    ForEachSuperBlock([&](size_t begin, size_t end) {
      double ss = 0;
      double sm = 0;
      double mm = 0;
      double sr = 0;
      double mr = 0;
      for (size_t l = begin; l < end; ++l) {
        const double s = now_.scale_code[l];
        const double m = -now_.min_code[l];
        ss += s * s * moments_.qq[l];
        sm += s * m * moments_.q[l];
        mm += m * m * batch_.importance_sum[l];
        sr += s * moments_.qr[l];
        mr += m * moments_.r[l];
      }
      double d_step = ss > 0 ? sr / ss : 0;
      double dmin_step = 0;
      const double determinant = ss * mm - sm * sm;
      if (determinant > 1e-9 * ss * mm) {
        d_step = (mm * sr - sm * mr) / determinant;
        dmin_step = (ss * mr - sm * sr) / determinant;
      }
      const float d = StoredFactor(now_.d[begin] + static_cast<float>(d_step));
      const float dmin =
          StoredFactor(std::max(0.0F, now_.dmin[begin] + static_cast<float>(dmin_step)));
      for (size_t l = begin; l < end; ++l) {
        now_.d[l] = d;
        now_.dmin[l] = dmin;
      }
    });
    Evaluate();
  }

  void Evaluate() {
    EvaluateFit(batch_, format_.codes, now_.Scale(), now_.Offset(), moments_);
    now_.error = moments_.rr;
  }

  void KeepBest() {
    ForEachSuperBlock([&](size_t begin, size_t end) {
      float now = 0;
      float best = 0;
      for (size_t l = begin; l < end; ++l) {
        now += now_.error[l];
        best += best_.error[l];
      }
      if (now >= best) return;
      for (size_t l = begin; l < end; ++l) {
        best_.d[l] = now_.d[l];
        best_.dmin[l] = now_.dmin[l];
        best_.scale_code[l] = now_.scale_code[l];
        best_.min_code[l] = now_.min_code[l];
        best_.error[l] = now_.error[l];
      }
    });
  }

  float RoundScale(float scale, float d) const {
    return RoundCode(scale, d, format_.low_scale_code, format_.high_scale_code);
  }
  float RoundMin(float min, float dmin) const {
    return RoundCode(min, dmin, 0, format_.max_min_code);
  }

  template <typename Body>
  void ForEachSuperBlock(const Body& body) {
    for (size_t l = 0; l < kFitLanes; l += format_.n_sub_blocks) body(l, l + format_.n_sub_blocks);
  }

  const FitBatch& batch_;
  const SuperBlockFormat& format_;
  SuperBlockFit now_;
  SuperBlockFit best_;
  FitMoments moments_;  // of the last evaluation
};

}  // namespace

FitLanes SuperBlockFit::Scale() const {
  FitLanes scale;
  for (size_t l = 0; l < kFitLanes; ++l) scale[l] = d[l] * scale_code[l];
  return scale;
}

FitLanes SuperBlockFit::Offset() const {
  FitLanes offset;
  for (size_t l = 0; l < kFitLanes; ++l) offset[l] = -(dmin[l] * min_code[l]);
  return offset;
}

SuperBlockFit SearchSuperBlocks(const FitBatch& batch, const SuperBlockFormat& format) {
  return Search(batch, format).Run();
}

}  // namespace quern
