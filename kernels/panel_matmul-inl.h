// Products with many tokens: weights are unpacked once per block of tokens, a panel at a time.
#if defined(QUERN_KERNELS_PANEL_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_PANEL_MATMUL_INL_H_
#undef QUERN_KERNELS_PANEL_MATMUL_INL_H_
#else
#define QUERN_KERNELS_PANEL_MATMUL_INL_H_
#endif

#include <algorithm>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// Row vectors of a register tile. Each weight vector feeds as many products as the tile has tokens,
// and each activation kTileVectors, so that loads do not limit.
inline constexpr size_t kTileVectors = 2;

// Two groups make a panel, so that 512-bit targets have kTileVectors vectors of rows.
inline constexpr size_t kPanelGroups = 2;
inline constexpr size_t kPanelRows = kPanelGroups * kRowGroup;

// Tokens that share one unpacked panel: their sums (16 KB) stay in L1 or L2 beside the panel, and
// unpacking costs less than 2% of the products.
inline constexpr size_t kTokenBlock = 132;

/// What a tile of the panel product works on.
template <class Panel>
struct TileArgs {
  const Panel* panels;  ///< kPanelGroups of them
  size_t first_row;     ///< of the tile's vectors, in the panel
  size_t n_cols;        ///< columns that the panel holds
  const std::byte* x;   ///< the tile's first token, at the panel's first column
  size_t x_stride;
  float* sums;  ///< [token][kPanelRows], added to
};

/// Asks for the weights of a panel to come, a share before each tile of this one: all at once they
/// would wait for each other, which cost as much as seven tokens.
class PanelAhead {
 public:
  /// The panel of the groups from `group` on and at most `most_cols` columns from `col` on. Rows
  /// that are not interleaved are asked for when they are.
  HWY_INLINE PanelAhead(const MatMulArgs& args, size_t group, size_t col, size_t most_cols,
                        size_t n_tiles) {
    const WeightMatrix& w = args.w;
    if (w.layout != WeightLayout::kInterleaved || group >= args.group_end) return;
    n_groups_ = std::min(kPanelGroups, args.group_end - group);
    for (size_t g = 0; g < n_groups_; ++g) {
      at_[g] =
          w.data + (group + g) * PackedGroupBytes(w.type, w.n_cols) + PackedGroupBytes(w.type, col);
    }
    left_ = PackedGroupBytes(w.type, std::min(most_cols, w.n_cols - col));
    share_ = (left_ / n_tiles / kCacheLine + 1) * kCacheLine;
  }
  HWY_INLINE void AskForShare() {
    const size_t n_bytes = std::min(share_, left_);
    for (size_t g = 0; g < n_groups_; ++g) {
      PrefetchWeights<false>(at_[g], n_bytes);
      at_[g] += n_bytes;
    }
    left_ -= n_bytes;
  }

 private:
  size_t n_groups_ = 0;
  const std::byte* at_[kPanelGroups] = {};
  size_t left_ = 0;  // bytes of each group
  size_t share_ = 0;
};

/// Kernel supplies: Panel, kPanelCols (columns of a panel), kTileTokens, XBytes(cols), and
///   Unpack(w, group, first_col, n_cols, panel)
///   Tile<kTokens>(tile_args)
template <class Kernel, size_t kTokens>
HWY_INLINE size_t RunTiles(TileArgs<typename Kernel::Panel>& tile, size_t n_tokens,
                           PanelAhead& ahead) {
  size_t done = 0;
  for (; done + kTokens <= n_tokens; done += kTokens) {
    ahead.AskForShare();
    Kernel::template Tile<kTokens>(tile);
    tile.x += kTokens * tile.x_stride;
    tile.sums += kTokens * kPanelRows;
  }
  return n_tokens - done;
}

template <class Kernel>
HWY_NOINLINE void PanelMatMul(const MatMulArgs& args) {
  using Panel = typename Kernel::Panel;
  Panel panels[kPanelGroups] = {};
  alignas(64) float sums[kTokenBlock * kPanelRows];

  const size_t n_cols = args.w.n_cols;
  for (size_t token = 0; token < args.n_tokens; token += kTokenBlock) {
    const size_t n_tokens = std::min(kTokenBlock, args.n_tokens - token);
    const std::byte* x = args.x + token * args.x_stride;
    for (size_t group = args.group_begin; group < args.group_end; group += kPanelGroups) {
      const size_t n_groups = std::min(kPanelGroups, args.group_end - group);
      const size_t n_tiles = std::max<size_t>(
          1, n_groups * kRowGroup / (kTileVectors * kLanes) * n_tokens / Kernel::kTileTokens);
      std::fill_n(sums, n_tokens * kPanelRows, 0.0F);
      for (size_t col = 0; col < n_cols; col += Kernel::kPanelCols) {
        const size_t panel_cols = std::min(Kernel::kPanelCols, n_cols - col);
        for (size_t g = 0; g < n_groups; ++g) {
          Kernel::Unpack(args.w, group + g, col, panel_cols, panels[g]);
        }
        const bool last = col + Kernel::kPanelCols >= n_cols;
        PanelAhead ahead(args, last ? group + kPanelGroups : group,
                         last ? 0 : col + Kernel::kPanelCols, Kernel::kPanelCols, n_tiles);
        for (size_t row = 0; row < n_groups * kRowGroup; row += kTileVectors * kLanes) {
          TileArgs<Panel> tile{panels,        row,       panel_cols, x + Kernel::XBytes(col),
                               args.x_stride, sums + row};
          size_t left = RunTiles<Kernel, Kernel::kTileTokens>(tile, n_tokens, ahead);
          if constexpr (Kernel::kTileTokens > 4) left = RunTiles<Kernel, 4>(tile, left, ahead);
          if constexpr (Kernel::kTileTokens > 2) left = RunTiles<Kernel, 2>(tile, left, ahead);
          RunTiles<Kernel, 1>(tile, left, ahead);
        }
      }
      for (size_t t = 0; t < n_tokens; ++t) {
        for (size_t row = 0; row < n_groups * kRowGroup; row += kLanes) {
          StoreRows(args, group, row, token + t, hn::Load(DF(), sums + t * kPanelRows + row));
        }
      }
    }
  }
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
