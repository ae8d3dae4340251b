// Products of integer weights and Q8 activations, generic over the weight type's codec.
#if defined(QUERN_KERNELS_QUANT_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_MATMUL_INL_H_
#undef QUERN_KERNELS_QUANT_MATMUL_INL_H_
#else
#define QUERN_KERNELS_QUANT_MATMUL_INL_H_
#endif

#include <algorithm>

#include "hwy/cache_control.h"
#include "kernels/activations.h"
#include "kernels/dot-inl.h"
#include "kernels/group_reader-inl.h"
#include "kernels/panel_matmul-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// A codec of weight type T is a class
//   struct Codec { using Block (of GGUF); struct Packed (16 rows' block, the same bytes);
//     static constexpr size_t kCols;      columns of a block, a multiple of 32
//     static constexpr int kMaxWeight;    of the unsigned weights that Weights() gives
//     static constexpr int kZero;         the unsigned weight that means 0
//     static constexpr bool kHasMin;      whether a minimum is added to each weight
//     static constexpr size_t kScales;    scales per step of 32 columns: 1, or 2 for halves of 16
//     static void Pack(const PackRows<Block>& rows, Packed& packed);
//     Codec(const Packed& packed, size_t row);                      for rows row .. row+kLanes-1
//     void Weights(size_t step, VU8* w) const;                      kStepGroups vectors
//     VF Scale(size_t step, size_t half) const;
//     VF Min(size_t step, size_t half) const; }                     only if kHasMin
// so that weight = Scale * (w - kZero) + Min.

// The zero point as the dot product sees it: signed ones move weights above 127 down by 128.
template <class Codec>
inline constexpr int kDotZero = (QUERN_DOT_I8_I8 || QUERN_DOT_SIGNS) && Codec::kMaxWeight > 127
                                    ? Codec::kZero - 128
                                    : Codec::kZero;

template <class Codec>
inline constexpr size_t kStepsOf = Codec::kCols / kActivationBlock;

/// The integers' start: minus what the zero point adds to half `half` (or all) of a step.
template <int kZero, size_t kScales>
HWY_INLINE VI32 DotStart(const ActivationBlock& x, size_t half) {
  if constexpr (kZero == 0) {
    return hn::Zero(DI32());
  } else {
    static_assert(kZero > 0 && 128 % kZero == 0);
    VI32 start = Broadcast4(x.start + half);
    if constexpr (kScales == 1) start = hn::Add(start, Broadcast4(x.start + 1));
    return hn::ShiftRight<hwy::FloorLog2(128 / kZero)>(start);  // exact: a multiple of 128
  }
}

/// Adds one step to a row's sum. Every path does these operations in this order, whatever it does
/// to get the exact integers: that makes its results equal, bit for bit.
template <class Codec, class Scales, class Mins>
HWY_INLINE VF AddStep(const VI32* dots, Scales scale, Mins min, const ActivationBlock& x, VF sum) {
  const DF d;
  VF scaled = hn::Mul(hn::ConvertTo(d, dots[0]), scale(0));
  if constexpr (Codec::kScales == 2) {
    scaled = hn::MulAdd(hn::ConvertTo(d, dots[1]), scale(1), scaled);
  }
  sum = hn::MulAdd(scaled, hn::Set(d, x.scale), sum);
  if constexpr (Codec::kHasMin && Codec::kScales == 1) {
    sum = hn::MulAdd(min(0), hn::Set(d, x.sum), sum);
  } else if constexpr (Codec::kHasMin) {
    sum = hn::MulAdd(min(0), hn::Set(d, x.half_sum[0]), sum);
    sum = hn::MulAdd(min(1), hn::Set(d, x.half_sum[1]), sum);
  }
  return sum;
}

// Up to this many tokens the weights stay in registers, and more share panels. Sums of more than 8
// do not fit beside them, but operations on memory cost the dot products nothing: 16 tokens take
// 0.87 of a panel's time. Two passes of 8 over each group took 1.35 times as long as panels. With
// 16 registers panels are as fast from 5 tokens on.
#if QUERN_DOT_U8_I8
inline constexpr size_t kMostFusedTokens = 16;
#elif HWY_TARGET <= HWY_AVX3 || HWY_TARGET_IS_NEON
inline constexpr size_t kMostFusedTokens = 8;
#else
inline constexpr size_t kMostFusedTokens = 4;
#endif

// Up to this many tokens each number has a function of its own, and above each pair.
inline constexpr size_t kMostTokensOfTheirOwn = 8;

/// The few-token path: each step of weights is unpacked to registers once and multiplied with
/// every token, in turns, as a sum waits for its own last product. With one token less than kTokens
/// the last counts twice.
template <class Codec, size_t kTokens>
HWY_NOINLINE void FusedMatMul(const MatMulArgs& args) {
  constexpr size_t kHalfGroups = kStepGroups / Codec::kScales;
  constexpr size_t kStepBytes = sizeof(typename Codec::Packed) / kStepsOf<Codec>;
  // With 512 bits and one token, L1 has room for the weights to come: 8% faster than L2. Narrower
  // vectors are 20% faster with L2.
  constexpr bool kPrefetchToL1 = kTokens == 1 && kSlices == 1;
  constexpr bool kOneMayLack = kTokens > kMostTokensOfTheirOwn;
  const DF d;
  const size_t n_blocks = args.w.n_cols / Codec::kCols;
  for (size_t group = args.group_begin; group < args.group_end; ++group) {
    GroupReader<Codec> reader(args.w, group, 0);
    VF sums[kSlices][kTokens];
    for (auto& slice : sums) {
      for (VF& sum : slice) sum = hn::Zero(d);
    }
    const std::byte* x_column = args.x;
    for (size_t block = 0; block < n_blocks; ++block) {
      const auto& packed = reader.Next();
      for (size_t slice = 0; slice < kSlices; ++slice) {
        const Codec codec(packed, slice * kLanes);
        const std::byte* x_step = x_column;
        for (size_t step = 0; step < kStepsOf<Codec>; ++step, x_step += sizeof(ActivationBlock)) {
          if (slice == 0) reader.template Prefetch<kPrefetchToL1>(step * kStepBytes, kStepBytes);
          VU8 w[kStepGroups];
          codec.Weights(step, w);
          VF scales[Codec::kScales];
          VF mins[Codec::kScales];
          for (size_t half = 0; half < Codec::kScales; ++half) {
            scales[half] = codec.Scale(step, half);
            if constexpr (Codec::kHasMin) mins[half] = codec.Min(step, half);
          }
          const auto x_of = [&](size_t t) HWY_ATTR -> const ActivationBlock& {
            const size_t row = kOneMayLack && t + 1 == kTokens ? args.n_tokens - 1 : t;
            return *reinterpret_cast<const ActivationBlock*>(x_step + row * args.x_stride);
          };
          VI32 dots[kTokens][Codec::kScales];
          HWY_UNROLL(2)
          for (size_t half = 0; half < Codec::kScales; ++half) {
            DotSum<Codec::kMaxWeight, kHalfGroups> dot[kTokens];
            HWY_UNROLL(16)
            for (size_t t = 0; t < kTokens; ++t) {
              dot[t] = DotSum<Codec::kMaxWeight, kHalfGroups>(
                  DotStart<kDotZero<Codec>, Codec::kScales>(x_of(t), half));
            }
            HWY_UNROLL(8)
            for (size_t g = 0; g < kHalfGroups; ++g) {
              const size_t group_of_step = half * kHalfGroups + g;
              HWY_UNROLL(16)
              for (size_t t = 0; t < kTokens; ++t) {
                dot[t].Add(g, w[group_of_step], Broadcast4(x_of(t).q + 4 * group_of_step));
              }
            }
            HWY_UNROLL(16)
            for (size_t t = 0; t < kTokens; ++t) dots[t][half] = dot[t].Finish();
          }
          HWY_UNROLL(16)
          for (size_t t = 0; t < kTokens; ++t) {
            sums[slice][t] = AddStep<Codec>(
                dots[t], [&](size_t half) HWY_ATTR { return scales[half]; },
                [&](size_t half) HWY_ATTR { return mins[half]; }, x_of(t), sums[slice][t]);
          }
        }
      }
      x_column += kStepsOf<Codec> * sizeof(ActivationBlock);
    }
    for (size_t slice = 0; slice < kSlices; ++slice) {
      HWY_UNROLL(16)
      for (size_t t = 0; t < kTokens; ++t) {
        if (kOneMayLack && t == args.n_tokens) break;
        StoreRows(args, group, slice * kLanes, t, sums[slice][t]);
      }
    }
  }
}

/// The many-token path's part that knows integer weights.
template <class Codec>
struct QuantPanelKernel {
  static constexpr size_t kPanelSteps = 8;
  static constexpr size_t kPanelCols = kPanelSteps * kActivationBlock;
  // The sums of 2 x 6, integer and float, and their operands take 27 of AVX-512's 32 registers.
  static constexpr size_t kTileTokens = QUERN_DOT_U8_I8 ? 6 : 4;

  // What unpacking adds to the weights. Where the dot product takes all bytes, it moves zero points
  // to 128, whose start is kept with the activations: one operation less for each product.
  static constexpr int kMoved = QUERN_DOT_U8_I8 && Codec::kZero != 0 ? 128 - Codec::kZero : 0;
  static constexpr int kTileZero = kDotZero<Codec> + kMoved;

  /// 16 rows x 256 columns, unpacked: at most 6 KB.
  struct Panel {
    alignas(64) uint8_t w[kPanelSteps][kStepGroups][4 * kRowGroup];
    float scale[kPanelSteps][Codec::kScales][kRowGroup];
    float min[Codec::kHasMin ? kPanelSteps : 1][Codec::kScales][kRowGroup];
  };

  static size_t XBytes(size_t cols) { return cols / kActivationBlock * sizeof(ActivationBlock); }

  static void Unpack(const WeightMatrix& w, size_t group, size_t first_col, size_t n_cols,
                     Panel& panel) {
    const DF d;
    GroupReader<Codec> reader(w, group, first_col / Codec::kCols);
    size_t panel_step = 0;
    for (size_t block = 0; block < n_cols / Codec::kCols; ++block) {
      const auto& packed = reader.Next();
      if (w.layout == WeightLayout::kRows) reader.template Prefetch<false>(0, sizeof(packed));
      for (size_t slice = 0; slice < kSlices; ++slice) {
        const size_t row = slice * kLanes;
        const Codec codec(packed, row);
        for (size_t step = 0; step < kStepsOf<Codec>; ++step) {
          const size_t to = panel_step + step;
          VU8 weights[kStepGroups];
          codec.Weights(step, weights);
          HWY_UNROLL(8)
          for (size_t g = 0; g < kStepGroups; ++g) {
            if constexpr (kMoved != 0) {
              weights[g] = hn::Add(weights[g], hn::Set(DU8(), kMoved));
            }
            hn::Store(weights[g], DU8(), panel.w[to][g] + 4 * row);
          }
          HWY_UNROLL(2)
          for (size_t half = 0; half < Codec::kScales; ++half) {
            hn::Store(codec.Scale(step, half), d, panel.scale[to][half] + row);
            if constexpr (Codec::kHasMin) {
              hn::Store(codec.Min(step, half), d, panel.min[to][half] + row);
            }
          }
        }
      }
      panel_step += kStepsOf<Codec>;
    }
  }

  template <size_t kTokens>
  static HWY_NOINLINE void Tile(const TileArgs<Panel>& tile) {
    constexpr size_t kHalfGroups = kStepGroups / Codec::kScales;
    using Dot = DotSum<Codec::kMaxWeight, kHalfGroups>;
    const DF d;
    const Panel* panels[kTileVectors];
    size_t rows[kTileVectors];
    HWY_UNROLL(2)
    for (size_t v = 0; v < kTileVectors; ++v) {
      const size_t row = tile.first_row + v * kLanes;
      panels[v] = tile.panels + row / kRowGroup;
      rows[v] = row % kRowGroup;
    }
    VF sums[kTileVectors][kTokens];
    HWY_UNROLL(8)
    for (size_t t = 0; t < kTokens; ++t) {
      HWY_UNROLL(2)
      for (size_t v = 0; v < kTileVectors; ++v) {
        sums[v][t] = hn::Load(d, tile.sums + t * kPanelRows + v * kLanes);
      }
    }
    const std::byte* x_step = tile.x;
    const size_t n_steps = tile.n_cols / kActivationBlock;
    for (size_t step = 0; step < n_steps; ++step, x_step += sizeof(ActivationBlock)) {
      HWY_UNROLL(8)
      for (size_t t = 0; t < kTokens; ++t) {
        // The next tile's tokens: too many short runs for the hardware to foresee.
        hwy::Prefetch(x_step + (kTokens + t) * tile.x_stride);
      }
      VI32 dots[kTileVectors][kTokens][Codec::kScales];
      HWY_UNROLL(2)
      for (size_t half = 0; half < Codec::kScales; ++half) {
        // clang-format off
        const auto start = [&](size_t t) HWY_ATTR {
          return Dot(DotStart<kTileZero, Codec::kScales>(
              *reinterpret_cast<const ActivationBlock*>(x_step + t * tile.x_stride), half));
        };
        // clang-format on
        Dot dot[kTileVectors][kTokens];
        HWY_UNROLL(8)
        for (size_t t = 0; t < kTokens; ++t) {
          dot[0][t] = start(t);
          dot[1][t] = dot[0][t];
        }
        HWY_UNROLL(8)
        for (size_t g = 0; g < kHalfGroups; ++g) {
          const size_t group_of_step = half * kHalfGroups + g;
          VU8 w[kTileVectors];
          HWY_UNROLL(2)
          for (size_t v = 0; v < kTileVectors; ++v) {
            w[v] = hn::Load(DU8(), panels[v]->w[step][group_of_step] + 4 * rows[v]);
          }
          HWY_UNROLL(8)
          for (size_t t = 0; t < kTokens; ++t) {
            const auto& x = *reinterpret_cast<const ActivationBlock*>(x_step + t * tile.x_stride);
            const VI32 x4 = Broadcast4(x.q + 4 * group_of_step);
            HWY_UNROLL(2)
            for (size_t v = 0; v < kTileVectors; ++v) dot[v][t].Add(g, w[v], x4);
          }
        }
        HWY_UNROLL(8)
        for (size_t t = 0; t < kTokens; ++t) {
          HWY_UNROLL(2)
          for (size_t v = 0; v < kTileVectors; ++v) dots[v][t][half] = dot[v][t].Finish();
        }
      }
      HWY_UNROLL(8)
      for (size_t t = 0; t < kTokens; ++t) {
        const auto& x = *reinterpret_cast<const ActivationBlock*>(x_step + t * tile.x_stride);
        HWY_UNROLL(2)
        for (size_t v = 0; v < kTileVectors; ++v) {
          sums[v][t] = AddStep<Codec>(
              dots[v][t],
              [&](size_t h) HWY_ATTR { return hn::Load(d, panels[v]->scale[step][h] + rows[v]); },
              [&](size_t h) HWY_ATTR { return hn::Load(d, panels[v]->min[step][h] + rows[v]); }, x,
              sums[v][t]);
        }
      }
    }
    HWY_UNROLL(8)
    for (size_t t = 0; t < kTokens; ++t) {
      HWY_UNROLL(2)
      for (size_t v = 0; v < kTileVectors; ++v) {
        hn::Store(sums[v][t], d, tile.sums + t * kPanelRows + v * kLanes);
      }
    }
  }
};

template <class Codec>
void QuantMatMul(const MatMulArgs& args) {
  if (args.n_tokens > kMostFusedTokens) return PanelMatMul<QuantPanelKernel<Codec>>(args);
  if (args.n_tokens > kMostTokensOfTheirOwn) {
    return WithTokens<kMostFusedTokens / 2>((args.n_tokens + 1) / 2, [&](auto pairs) {
      if constexpr (2 * pairs > kMostTokensOfTheirOwn) FusedMatMul<Codec, 2 * pairs>(args);
    });
  }
  WithTokens<std::min(kMostFusedTokens, kMostTokensOfTheirOwn)>(
      args.n_tokens, [&](auto n_tokens) { FusedMatMul<Codec, n_tokens>(args); });
}

/// Interleaves the one group of `rows`.
template <class Codec>
void QuantPackGroup(const WeightMatrix& rows, std::byte* packed) {
  GroupReader<Codec> reader(rows, 0, 0);
  auto* to = reinterpret_cast<typename Codec::Packed*>(packed);
  const size_t n_blocks = rows.n_cols / Codec::kCols;
  for (size_t block = 0; block < n_blocks; ++block) {
    PrefetchWeights<false>(rows.data + (n_blocks + block) * sizeof(*to),
                           sizeof(*to));  // next group
    reader.PackNext(to[block]);
  }
}

template <class Codec>
void QuantDequantizeRow(const WeightMatrix& w, size_t row, float* out) {
  using Kernel = QuantPanelKernel<Codec>;
  const size_t lane = row % kRowGroup;
  typename Kernel::Panel panel;
  for (size_t col = 0; col < w.n_cols; col += Kernel::kPanelCols) {
    const size_t panel_cols = std::min(Kernel::kPanelCols, w.n_cols - col);
    Kernel::Unpack(w, row / kRowGroup, col, panel_cols, panel);
    for (size_t i = 0; i < panel_cols; ++i) {
      const size_t step = i / kActivationBlock;
      const size_t in_step = i % kActivationBlock;
      const size_t half = in_step * Codec::kScales / kActivationBlock;
      const int q =
          panel.w[step][in_step / 4][4 * lane + in_step % 4] - (Codec::kZero + Kernel::kMoved);
      float value = panel.scale[step][half][lane] * static_cast<float>(q);
      if constexpr (Codec::kHasMin) value += panel.min[step][half][lane];
      out[col + i] = value;
    }
  }
}

template <class Codec>
inline constexpr WeightKernels kQuantKernels = {QuantMatMul<Codec>, QuantPackGroup<Codec>,
                                                QuantDequantizeRow<Codec>};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
