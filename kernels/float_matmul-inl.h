// Products of float weights and float activations, generic over the storage type.
#if defined(QUERN_KERNELS_FLOAT_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#undef QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#else
#define QUERN_KERNELS_FLOAT_MATMUL_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/group_reader-inl.h"
#include "kernels/panel_matmul-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// A codec of a float type has a type Element, kept as [column][16 rows] when interleaved, and
//   static VF Load(const Element* rows);      kLanes rows of a column

// Columns that are summed before their sum is added to the row's: the same in all paths, and less
// rounding error than one sum over thousands of columns.
inline constexpr size_t kFloatChunk = 128;

/// The interleaved columns of one group of a float type, chunk by chunk.
template <class Element>
class FloatGroupReader {
 public:
  HWY_INLINE void Start(const WeightMatrix& w, size_t group, size_t first_col) {
    next_ = reinterpret_cast<const Element*>(w.data) + (group * w.n_cols + first_col) * kRowGroup;
    interleaved_ = w.layout == WeightLayout::kInterleaved;
    if (interleaved_) return;
    cursors_.Start(w, group, w.n_cols * sizeof(Element), first_col * sizeof(Element));
  }

  /// The next n_cols columns, at most kFloatChunk: [n_cols][kRowGroup], valid until the next call.
  HWY_INLINE const Element* Next(size_t n_cols) {
    const Element* interleaved = next_;
    next_ += n_cols * kRowGroup;
    if (interleaved_) return interleaved;
    PackNext(n_cols, here_);
    return here_;
  }

  HWY_NOINLINE void PackNext(size_t n_cols, Element* to) {
    constexpr size_t kCols = 16 / sizeof(Element);  // of a row's 16 bytes
    const size_t whole_cols = n_cols / kCols * kCols;
    const size_t n_bytes = n_cols * sizeof(Element);
    for (size_t row = 0; row < kRowGroup; ++row) {
      PrefetchWeights<false>(cursors_.rows()[row] + n_bytes, n_bytes);
    }
    for (size_t row = 0; row < kRowGroup; row += kLanes) {
      const std::byte* const* rows = cursors_.rows() + row;
      for (size_t col = 0; col < whole_cols; col += kCols) {
        VU32 words[4];
        LoadWords<1>(rows, col * sizeof(Element), words);
        Element* column = to + col * kRowGroup + row;
        for (const VU32 word : words) {
          if constexpr (sizeof(Element) == 2) {
            StoreHalves(word, column, column + kRowGroup);
            column += 2 * kRowGroup;
          } else {
            hn::StoreU(hn::BitCast(DF(), word), DF(), column);
            column += kRowGroup;
          }
        }
      }
      for (size_t col = whole_cols; col < n_cols; ++col) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          std::memcpy(to + col * kRowGroup + row + lane, rows[lane] + col * sizeof(Element),
                      sizeof(Element));
        }
      }
    }
    cursors_.Advance(n_bytes);
  }

 private:
  const Element* next_ = nullptr;
  bool interleaved_ = true;
  RowCursors<kFloatChunk * sizeof(Element)> cursors_;
  alignas(64) Element here_[kFloatChunk * kRowGroup];
};

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
  VF sums[kVectors][kTokens];
  for (auto& vector : sums) {
    for (VF& sum : vector) sum = hn::Zero(DF());
  }
  FloatGroupReader<Element> readers[(kVectors + kSlices - 1) / kSlices];
  for (size_t g = 0; g < std::size(readers); ++g) readers[g].Start(args.w, first / kSlices + g, 0);
  for (size_t col = 0; col < args.w.n_cols; col += kFloatChunk) {
    const size_t n_cols = std::min(kFloatChunk, args.w.n_cols - col);
    const Element* groups[std::size(readers)];
    for (size_t g = 0; g < std::size(readers); ++g) groups[g] = readers[g].Next(n_cols);
    const Element* rows[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      // `first` is a multiple of kVectors or else of one group's slices.
      rows[v] = groups[v / kSlices] + (first + v) % kSlices * kLanes;
    }
    AddChunk<kVectors, kTokens>([&](size_t v, size_t c)
                                    HWY_ATTR { return Codec::Load(rows[v] + c * kRowGroup); },
                                n_cols, args.x + col * sizeof(float), args.x_stride, sums);
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
  // 12 sums and 3 operands: 15 registers. Ten sums hide the latency of additions.
  static constexpr size_t kTileTokens = 6;

  /// 16 rows x 128 columns, 8 KB.
  struct Panel {
    alignas(64) float w[kPanelCols][kRowGroup];
  };

  static size_t XBytes(size_t cols) { return cols * sizeof(float); }

  static void Unpack(const WeightMatrix& w, size_t group, size_t first_col, size_t n_cols,
                     Panel& panel) {
    FloatGroupReader<typename Codec::Element> reader;
    reader.Start(w, group, first_col);
    const auto* columns = reader.Next(n_cols);
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

/// Interleaves the one group of `rows`.
template <class Codec>
void FloatPackGroup(const WeightMatrix& rows, std::byte* packed) {
  using Element = typename Codec::Element;
  FloatGroupReader<Element> reader;
  reader.Start(rows, 0, 0);
  auto* to = reinterpret_cast<Element*>(packed);
  for (size_t col = 0; col < rows.n_cols; col += kFloatChunk) {
    reader.PackNext(std::min(kFloatChunk, rows.n_cols - col), to + col * kRowGroup);
  }
}

template <class Codec>
void FloatDequantizeRow(const WeightMatrix& w, size_t row, float* out) {
  const size_t first = row % kRowGroup / kLanes * kLanes;
  FloatGroupReader<typename Codec::Element> reader;
  reader.Start(w, row / kRowGroup, 0);
  for (size_t col = 0; col < w.n_cols; col += kFloatChunk) {
    const size_t n_cols = std::min(kFloatChunk, w.n_cols - col);
    const auto* columns = reader.Next(n_cols);
    for (size_t c = 0; c < n_cols; ++c) {
      alignas(64) float lanes[kLanes];
      hn::Store(Codec::Load(columns + c * kRowGroup + first), DF(), lanes);
      out[col + c] = lanes[row % kLanes];
    }
  }
}

template <class Codec>
inline constexpr WeightKernels kFloatKernels = {FloatMatMul<Codec>, FloatPackGroup<Codec>,
                                                FloatDequantizeRow<Codec>};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
