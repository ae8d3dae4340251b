// Products of float weights and float activations, generic over the storage type.
#if defined(QUERN_KERNELS_FLOAT_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#undef QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#else
#define QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#endif

#include <algorithm>

#include "kernels/panel_matmul-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// A codec of a float type has a type Element, kept as [column][16 rows] when packed, and
//   static VF Load(const Element* rows);      kLanes rows of a column

// Columns that are summed before their sum is added to the row's: the same in all paths, and less
// rounding error than one sum over thousands of columns.
inline constexpr size_t kFloatChunk = 128;

/// sums[v][t] += the product of one chunk: row vector v of `load(v, col)` with token t.
template <size_t kVectors, size_t kTokens, class Load>
HWY_INLINE void AddChunk(Load load, size_t n_cols, const std::byte* x, size_t x_stride,
                         VF (*sums)[kTokens]) {
  const DF d;
  VF chunk[kVectors][kTokens];
  HWY_UNROLL(4)
  for (size_t v = 0; v < kVectors; ++v) {
    HWY_UNROLL(8)
    for (size_t t = 0; t < kTokens; ++t) chunk[v][t] = hn::Zero(d);
  }
  for (size_t col = 0; col < n_cols; ++col) {
    VF w[kVectors];
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVectors; ++v) w[v] = load(v, col);
    HWY_UNROLL(8)
    for (size_t t = 0; t < kTokens; ++t) {
      const VF x_col = hn::Set(d, reinterpret_cast<const float*>(x + t * x_stride)[col]);
      HWY_UNROLL(4)
      for (size_t v = 0; v < kVectors; ++v) chunk[v][t] = hn::MulAdd(w[v], x_col, chunk[v][t]);
    }
  }
  HWY_UNROLL(4)
  for (size_t v = 0; v < kVectors; ++v) {
    HWY_UNROLL(8)
    for (size_t t = 0; t < kTokens; ++t) sums[v][t] = hn::Add(sums[v][t], chunk[v][t]);
  }
}

/// Products of kVectors row vectors, from the `first`-th of the matrix on, with kTokens tokens.
template <class Codec, size_t kVectors, size_t kTokens>
HWY_INLINE void FusedFloatVectors(const MatMulArgs& args, size_t first) {
  using Element = typename Codec::Element;
  const Element* rows[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    const size_t group = (first + v) / kSlices;
    rows[v] = reinterpret_cast<const Element*>(args.w.data) + group * kRowGroup * args.w.n_cols +
              (first + v) % kSlices * kLanes;
  }
  VF sums[kVectors][kTokens];
  for (auto& vector : sums) {
    for (VF& sum : vector) sum = hn::Zero(DF());
  }
  for (size_t col = 0; col < args.w.n_cols; col += kFloatChunk) {
    AddChunk<kVectors, kTokens>(
        [&](size_t v, size_t c) HWY_ATTR { return Codec::Load(rows[v] + (col + c) * kRowGroup); },
        std::min(kFloatChunk, args.w.n_cols - col), args.x + col * sizeof(float), args.x_stride,
        sums);
  }
  for (size_t v = 0; v < kVectors; ++v) {
    for (size_t t = 0; t < kTokens; ++t) {
      StoreRows(args, (first + v) / kSlices, (first + v) % kSlices * kLanes, t, sums[v][t]);
    }
  }
}

/// The few-token path. Several row vectors at a time, since one chain of additions would wait four
/// cycles for each column.
template <class Codec, size_t kTokens>
HWY_NOINLINE void FusedFloatMatMul(const MatMulArgs& args) {
  constexpr size_t kVectors = kTokens == 1 ? 4 : 2;
  size_t vector = args.group_begin * kSlices;
  const size_t end = args.group_end * kSlices;
  for (; vector + kVectors <= end; vector += kVectors) {
    FusedFloatVectors<Codec, kVectors, kTokens>(args, vector);
  }
  for (; vector < end; ++vector) FusedFloatVectors<Codec, 1, kTokens>(args, vector);
}

/// The many-token path's part that knows float weights.
template <class Codec>
struct FloatPanelKernel {
  static constexpr size_t kPanelCols = kFloatChunk;

  /// 16 rows x 128 columns, 8 KB.
  struct Panel {
    alignas(64) float w[kPanelCols][kRowGroup];
  };

  static size_t XBytes(size_t cols) { return cols * sizeof(float); }

  static void Unpack(const PackedMatrix& w, size_t group, size_t first_col, size_t n_cols,
                     Panel& panel) {
    const auto* columns = reinterpret_cast<const typename Codec::Element*>(w.data) +
                          (group * w.n_cols + first_col) * kRowGroup;
    for (size_t col = 0; col < n_cols; ++col) {
      for (size_t row = 0; row < kRowGroup; row += kLanes) {
        hn::Store(Codec::Load(columns + col * kRowGroup + row), DF(), panel.w[col] + row);
      }
    }
  }

  template <size_t kTokens>
  static HWY_NOINLINE void Tile(const TileArgs<Panel>& tile) {
    const DF d;
    const float* rows[kTileVectors];
    VF sums[kTileVectors][kTokens];
    HWY_UNROLL(2)
    for (size_t v = 0; v < kTileVectors; ++v) {
      const size_t row = tile.first_row + v * kLanes;
      rows[v] = tile.panels[row / kRowGroup].w[0] + row % kRowGroup;
      HWY_UNROLL(8)
      for (size_t t = 0; t < kTokens; ++t) {
        sums[v][t] = hn::Load(d, tile.sums + t * kPanelRows + v * kLanes);
      }
    }
    AddChunk<kTileVectors, kTokens>([&](size_t v, size_t col)
                                        HWY_ATTR { return hn::Load(d, rows[v] + col * kRowGroup); },
                                    tile.n_cols, tile.x, tile.x_stride, sums);
    HWY_UNROLL(2)
    for (size_t v = 0; v < kTileVectors; ++v) {
      HWY_UNROLL(8)
      for (size_t t = 0; t < kTokens; ++t) {
        hn::Store(sums[v][t], d, tile.sums + t * kPanelRows + v * kLanes);
      }
    }
  }
};

// Most tokens of the few-token path.
inline constexpr size_t kFusedFloatTokens = 4;

template <class Codec>
void FloatMatMul(const MatMulArgs& args) {
  if (args.n_tokens > kFusedFloatTokens) return PanelMatMul<FloatPanelKernel<Codec>>(args);
  WithTokens<kFusedFloatTokens>(args.n_tokens,
                                [&](auto n_tokens) { FusedFloatMatMul<Codec, n_tokens>(args); });
}

/// [row][column] to [column][16 rows]; missing rows become zeros.
template <class Codec>
void FloatPackGroup(size_t n_cols, size_t n_rows, const std::byte* rows, std::byte* packed) {
  using Element = typename Codec::Element;
  const auto* from = reinterpret_cast<const Element*>(rows);
  auto* to = reinterpret_cast<Element*>(packed);
  for (size_t col = 0; col < n_cols; ++col) {
    for (size_t row = 0; row < kRowGroup; ++row) {
      to[col * kRowGroup + row] = row < n_rows ? from[row * n_cols + col] : Element{0};
    }
  }
}

template <class Codec>
void FloatDequantizeRow(size_t n_cols, const std::byte* packed, size_t row, float* out) {
  const auto* columns = reinterpret_cast<const typename Codec::Element*>(packed);
  const size_t first = row / kLanes * kLanes;
  for (size_t col = 0; col < n_cols; ++col) {
    alignas(64) float lanes[kLanes];
    hn::Store(Codec::Load(columns + col * kRowGroup + first), DF(), lanes);
    out[col] = lanes[row - first];
  }
}

template <class Codec>
inline constexpr WeightKernels kFloatKernels = {FloatMatMul<Codec>, FloatPackGroup<Codec>,
                                                FloatDequantizeRow<Codec>};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
