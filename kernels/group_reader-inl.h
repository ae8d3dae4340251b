// Walks the blocks of a group of rows, interleaved in memory already or here, at their use.
#if defined(QUERN_KERNELS_GROUP_READER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_GROUP_READER_INL_H_
#undef QUERN_KERNELS_GROUP_READER_INL_H_
#else
#define QUERN_KERNELS_GROUP_READER_INL_H_
#endif

#include <algorithm>
#include <array>

#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

/// What a codec packs in one go: kLanes rows of a group, from `row` on.
template <class Block>
struct PackRows {
  const std::byte* const* blocks;  ///< kLanes of them, of GGUF
  size_t row;

  const Block& operator[](size_t i) const { return *reinterpret_cast<const Block*>(blocks[i]); }
  /// words[i]: bytes 4i .. of `n_words` words at `offset` of every block.
  template <size_t n_words>
  HWY_INLINE void Load(size_t offset, VU32 (&words)[n_words]) const {
    static_assert(n_words % 4 == 0);
    LoadWords<n_words / 4>(blocks, offset, words);
  }
};

/// Walks the rows of a group that lie one after the other. Rows that the matrix lacks are zeros.
/// `kZeros`: the most bytes that are read of a row before the next Advance.
template <size_t kZeros>
class RowCursors {
 public:
  /// From `offset` bytes after each row's start on.
  HWY_INLINE void Start(const WeightMatrix& w, size_t group, size_t row_bytes, size_t offset) {
    n_rows_ = std::min(kRowGroup, w.n_rows - group * kRowGroup);
    const std::byte* row = w.data + group * kRowGroup * row_bytes + offset;
    at_.fill(kZeroBytes.data());
    for (size_t i = 0; i < n_rows_; ++i, row += row_bytes) at_[i] = row;
  }
  const std::byte* const* rows() const { return at_.data(); }
  HWY_INLINE void Advance(size_t n_bytes) {
    for (size_t i = 0; i < n_rows_; ++i) at_[i] += n_bytes;
  }

 private:
  static constexpr std::array<std::byte, kZeros> kZeroBytes{};
  size_t n_rows_ = 0;
  std::array<const std::byte*, kRowGroup> at_;
};

/// The interleaved blocks of one group of a quantized type, one after the other.
template <class Codec>
class GroupReader {
 public:
  using Block = typename Codec::Block;
  using Packed = typename Codec::Packed;
  static_assert(sizeof(Packed) == kRowGroup * sizeof(Block));

  HWY_INLINE GroupReader(const WeightMatrix& w, size_t group, size_t first_block)
      : interleaved_(w.layout == WeightLayout::kInterleaved) {
    const size_t n_blocks = w.n_cols / Codec::kCols;
    next_ = w.data + (group * n_blocks + first_block) * sizeof(Packed);
    if (interleaved_) return;
    group_bytes_ = n_blocks * sizeof(Packed);
    cursors_.Start(w, group, n_blocks * sizeof(Block), first_block * sizeof(Block));
  }

  /// Valid until the next call.
  HWY_INLINE const Packed& Next() {
    const std::byte* packed = next_;
    next_ += sizeof(Packed);
    if (interleaved_) return *reinterpret_cast<const Packed*>(packed);
    PackNext(here_);
    return here_;
  }
  /// Asks for `n_bytes` of a block to come, from byte `at` of it on. Where rows are apart, that is
  /// a block of the next group, which begins at the end of this one: too far for L1.
  template <bool kToL1>
  HWY_INLINE void Prefetch(size_t at, size_t n_bytes) const {
    const std::byte* block = next_ - sizeof(Packed);
    if (interleaved_) {
      PrefetchWeights<kToL1>(block + kPrefetchDistance + at, n_bytes);
    } else {
      PrefetchWeights<false>(block + group_bytes_ + at, n_bytes);
    }
  }

  HWY_NOINLINE void PackNext(Packed& packed) {
    for (size_t row = 0; row < kRowGroup; row += kLanes) {
      Codec::Pack(PackRows<Block>{cursors_.rows() + row, row}, packed);
    }
    cursors_.Advance(sizeof(Block));
  }

 private:
  bool interleaved_;
  const std::byte* next_;
  size_t group_bytes_ = 0;
  RowCursors<sizeof(Block)> cursors_;
  alignas(64) Packed here_;
};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
