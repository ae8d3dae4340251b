#include "kernels/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "gguf/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"  // NOLINT(bugprone-suspicious-include)
#include "hwy/foreach_target.h"                    // IWYU pragma: keep
// After foreach_target, whose passes each need their own.
#include "hwy/highway.h"
#include "kernels/exp-inl.h"
#include "kernels/map-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace {

/// Sums of probabilities run in this many virtual lanes whatever the vector width, so that all
/// targets add in one order.
constexpr size_t kSumLanes = 16;
using DF = hn::CappedTag<float, kSumLanes>;
using VF = hn::Vec<DF>;
constexpr size_t kLanes = hn::MaxLanes(DF());

/// A row is the query of one token and head. Tiles are kTileRows rows by kTileVecs vectors: 16
/// accumulators where there are 32 registers, 8 where there are 16.
constexpr size_t kTileRows = 4;
constexpr size_t kTileVecs = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 ? 2 : 4;
static_assert(kPageTokens % (kTileVecs * kLanes) == 0);

/// Rows that walk the pages together: a page comes from memory once for all of them, and their
/// scores (8 KB) stay in the L1 cache beside it.
constexpr size_t kBlockRows = 32;

constexpr float kLowest = std::numeric_limits<float>::lowest();

float ExpOne(float x) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(Exp(d, hn::Set(d, x)));
}

/// Loads vectors of a cache type as floats, which is exact.
template <class D, typename T>
HWY_INLINE hn::Vec<D> LoadAsFloat(D d, const T* p) {
  if constexpr (std::is_same_v<T, float>) {
    return hn::LoadU(d, p);
  } else if constexpr (std::is_same_v<T, int8_t>) {
    const hn::Rebind<int32_t, D> d32;
    return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(hn::Rebind<T, D>(), p)));
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, D>(), p));
  }
}

constexpr size_t BlocksOf(size_t head_dim) { return (head_dim + kKvBlock - 1) / kKvBlock; }

/// K of a page as [element][position]. With int8, a float's product of element and scale is exact.
template <typename T>
class Keys {
 public:
  Keys(const std::byte* page, size_t head_dim)
      : elements_(reinterpret_cast<const T*>(page)),
        scales_(reinterpret_cast<const hwy::float16_t*>(elements_ + head_dim * kPageTokens)) {}

  /// What `Load` multiplies with, of one block.
  template <class D>
  HWY_INLINE hn::Vec<D> Scale(D d, size_t block, size_t position) const {
    if constexpr (!std::is_same_v<T, int8_t>) return hn::Zero(d);  // not used
    return LoadAsFloat(d, scales_ + block * kPageTokens + position);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, size_t element, size_t position, hn::Vec<D> scale) const {
    const auto loaded = LoadAsFloat(d, elements_ + element * kPageTokens + position);
    if constexpr (std::is_same_v<T, int8_t>) return hn::Mul(loaded, scale);
    return loaded;
  }

 private:
  const T* elements_;
  const hwy::float16_t* scales_;
};

/// V of a page as [position][element].
template <typename T>
class Values {
 public:
  Values(const std::byte* page, size_t head_dim)
      : elements_(reinterpret_cast<const T*>(page)),
        scales_(reinterpret_cast<const uint16_t*>(elements_ + head_dim * kPageTokens)),
        head_dim_(head_dim) {}

  /// A vector of elements of one block.
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, size_t position, size_t element) const {
    const auto loaded = LoadAsFloat(d, elements_ + position * head_dim_ + element);
    if constexpr (std::is_same_v<T, int8_t>) {
      const hn::Rebind<hwy::float16_t, D> d16;
      const hn::Rebind<uint16_t, D> du16;
      const uint16_t scale = scales_[position * BlocksOf(head_dim_) + element / kKvBlock];
      return hn::Mul(loaded, hn::PromoteTo(d, hn::BitCast(d16, hn::Set(du16, scale))));
    }
    return loaded;
  }

 private:
  const T* elements_;
  const uint16_t* scales_;
  size_t head_dim_;
};

/// scores[r][position] = sum over i of q[r][i] * k[i][position] for kRows rows and at least the
/// first n_positions. Lane = position, so a score is one chain of MulAdd over i in every tile.
template <size_t kRows, typename T>
HWY_INLINE void ScoreTile(const Keys<T>& k, size_t head_dim, size_t n_positions,
                          const float* const* q, float (*scores)[kPageTokens]) {
  const DF d;
  for (size_t column = 0; column < n_positions; column += kTileVecs * kLanes) {
    VF sum[kRows][kTileVecs];
    for (auto& row : sum) {
      for (VF& s : row) s = hn::Zero(d);
    }
    for (size_t begin = 0; begin < head_dim; begin += kKvBlock) {
      VF scale[kTileVecs];
      for (size_t c = 0; c < kTileVecs; ++c) {
        scale[c] = k.Scale(d, begin / kKvBlock, column + c * kLanes);
      }
      for (size_t i = begin; i < std::min(begin + kKvBlock, head_dim); ++i) {
        VF keys[kTileVecs];
        for (size_t c = 0; c < kTileVecs; ++c) {
          keys[c] = k.Load(d, i, column + c * kLanes, scale[c]);
        }
        for (size_t r = 0; r < kRows; ++r) {
          const VF query = hn::Set(d, q[r][i]);
          for (size_t c = 0; c < kTileVecs; ++c) sum[r][c] = hn::MulAdd(query, keys[c], sum[r][c]);
        }
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t c = 0; c < kTileVecs; ++c) {
        hn::StoreU(sum[r][c], d, scores[r] + column + c * kLanes);
      }
    }
  }
}

/// acc[r][i] = acc[r][i] * alpha[r] + p[r][begin] * v[begin][i] + ... + p[r][end-1] * v[end-1][i]
/// for kRows rows and the kVecs vectors of elements from `column`, in the order of positions.
template <size_t kRows, size_t kVecs, class D, typename T>
HWY_INLINE void AccumulateTile(D d, const Values<T>& v, size_t begin, size_t end, size_t column,
                               const float (*p)[kPageTokens], const float* alpha,
                               float* const* acc) {
  constexpr size_t kStep = hn::MaxLanes(D());
  hn::Vec<D> sum[kRows][kVecs];
  for (size_t r = 0; r < kRows; ++r) {
    const auto factor = hn::Set(d, alpha[r]);
    for (size_t c = 0; c < kVecs; ++c) {
      sum[r][c] = hn::Mul(hn::LoadU(d, acc[r] + column + c * kStep), factor);
    }
  }
  for (size_t position = begin; position < end; ++position) {
    hn::Vec<D> values[kVecs];
    for (size_t c = 0; c < kVecs; ++c) {
      values[c] = v.Load(d, position, column + c * kStep);
    }
    for (size_t r = 0; r < kRows; ++r) {
      const auto weight = hn::Set(d, p[r][position]);
      for (size_t c = 0; c < kVecs; ++c) sum[r][c] = hn::MulAdd(weight, values[c], sum[r][c]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t c = 0; c < kVecs; ++c) hn::StoreU(sum[r][c], d, acc[r] + column + c * kStep);
  }
}

/// AccumulateTile over all elements of the head.
template <size_t kRows, typename T>
HWY_INLINE void AccumulateRows(const Values<T>& v, size_t head_dim, size_t begin, size_t end,
                               const float (*p)[kPageTokens], const float* alpha,
                               float* const* acc) {
  const DF d;
  const hn::CappedTag<float, 2> d2;  // head_dim is even
  size_t i = 0;
  for (; i + kTileVecs * kLanes <= head_dim; i += kTileVecs * kLanes) {
    AccumulateTile<kRows, kTileVecs>(d, v, begin, end, i, p, alpha, acc);
  }
  for (; i + kLanes <= head_dim; i += kLanes) {
    AccumulateTile<kRows, 1>(d, v, begin, end, i, p, alpha, acc);
  }
  for (; i < head_dim; i += 2) {
    AccumulateTile<kRows, 1>(d2, v, begin, end, i, p, alpha, acc);
  }
}

/// Scales the scores of the first n_valid positions and makes the others -inf; gives the maximum,
/// at least kLowest.
HWY_INLINE float ScaleAndMask(float scale, size_t n_valid, float* scores) {
  const DF d;
  const VF factor = hn::Set(d, scale);
  const VF nothing = hn::Set(d, -std::numeric_limits<float>::infinity());
  VF max = hn::Set(d, kLowest);
  for (size_t i = 0; i < kPageTokens; i += kLanes) {
    const auto valid = hn::FirstN(d, n_valid > i ? n_valid - i : 0);
    const VF s = hn::IfThenElse(valid, hn::Mul(hn::LoadU(d, scores + i), factor), nothing);
    max = hn::Max(max, s);
    hn::StoreU(s, d, scores + i);
  }
  return hn::ReduceMax(d, max);
}

/// Turns scores into p = exp(score - max), and sums = sums * alpha + the p of each virtual lane.
HWY_INLINE void Exponentiate(float max, float alpha, float* scores, float* sums) {
  const DF d;
  const VF origin = hn::Set(d, max);
  for (size_t lane = 0; lane < kSumLanes; lane += kLanes) {
    VF sum = hn::Mul(hn::LoadU(d, sums + lane), hn::Set(d, alpha));
    for (size_t i = lane; i < kPageTokens; i += kSumLanes) {
      const VF p = Exp(d, hn::Sub(hn::LoadU(d, scores + i), origin));
      hn::StoreU(p, d, scores + i);
      sum = hn::Add(sum, p);
    }
    hn::StoreU(sum, d, sums + lane);
  }
}

/// Adds the virtual lanes in a fixed tree.
float SumOfLanes(std::array<float, kSumLanes> sums) {
  for (size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// Up to kBlockRows rows on their way through the pages of a split.
struct RowBlock {
  size_t n_rows = 0;
  std::array<const float*, kBlockRows> q;
  std::array<float*, kBlockRows> acc;
  std::array<size_t, kBlockRows> n_seen;   ///< positions before the row's own, itself included
  std::array<size_t, kBlockRows> n_valid;  ///< of the page at hand; never falls from row to row
  HWY_ALIGN std::array<float, kBlockRows> max;
  HWY_ALIGN std::array<float, kBlockRows> alpha;
  HWY_ALIGN std::array<std::array<float, kSumLanes>, kBlockRows> sums;
  HWY_ALIGN float scores[kBlockRows][kPageTokens];
};

/// Calls f(std::integral_constant<size_t, n>, row) for tiles of n = kTileRows rows and the rest.
template <class F>
HWY_INLINE void ForTiles(size_t begin, size_t end, const F& f) {
  size_t row = begin;
  for (; row + kTileRows <= end; row += kTileRows) {
    f(std::integral_constant<size_t, kTileRows>(), row);
  }
  static_assert(kTileRows == 4);
  switch (end - row) {
    case 3:
      return f(std::integral_constant<size_t, 3>(), row);
    case 2:
      return f(std::integral_constant<size_t, 2>(), row);
    case 1:
      return f(std::integral_constant<size_t, 1>(), row);
    default:
      return;
  }
}

/// The scores of a page for the rows from `begin`, all of which see a part of it.
template <typename T>
void ScorePage(const Keys<T>& k, size_t head_dim, size_t begin, RowBlock& block) {
  ForTiles(begin, block.n_rows, [&](auto n, size_t row) HWY_ATTR {
    ScoreTile<n()>(k, head_dim, block.n_valid[row + n() - 1], &block.q[row], &block.scores[row]);
  });
}

/// Turns scores into probabilities beside the row's maximum, which may rise.
void SoftmaxPage(float scale, size_t begin, RowBlock& block) {
  std::array<float, kBlockRows> old_max = block.max;
  for (size_t row = begin; row < block.n_rows; ++row) {
    const float page_max = ScaleAndMask(scale, block.n_valid[row], block.scores[row]);
    block.max[row] = std::max(old_max[row], page_max);
  }
  Map(
      block.n_rows - begin, &block.alpha[begin],
      [](auto old, auto now)
          HWY_ATTR { return Exp(hn::DFromV<decltype(old)>(), hn::Sub(old, now)); },
      &old_max[begin], &block.max[begin]);
  for (size_t row = begin; row < block.n_rows; ++row) {
    Exponentiate(block.max[row], block.alpha[row], block.scores[row], block.sums[row].data());
  }
}

/// Adds a page's V to the rows from `begin`.
template <typename T>
void AccumulatePage(const Values<T>& v, size_t head_dim, size_t begin, RowBlock& block) {
  ForTiles(begin, block.n_rows, [&](auto n, size_t row) HWY_ATTR {
    // All rows of the tile see `common` positions. Later tokens see more, and those are theirs
    // alone: even p = 0 would let an infinite or NaN V of a later token into an earlier one.
    const size_t common = block.n_valid[row];
    AccumulateRows<n()>(v, head_dim, 0, common, &block.scores[row], &block.alpha[row],
                        &block.acc[row]);
    const float one = 1;
    for (size_t r = row + 1; r < row + n(); ++r) {
      if (block.n_valid[r] == common) continue;
      AccumulateRows<1>(v, head_dim, common, block.n_valid[r], &block.scores[r], &one,
                        &block.acc[r]);
    }
  });
}

/// Reads K or V of a page in order, which hardware foresees. The short runs of a tile, of which
/// some are apart by two or four cache lines, would wait for memory again and again.
void ReadThrough(const std::byte* side, size_t n_bytes) {
  constexpr size_t kCacheLine = 64;
  const hn::Full128<uint8_t> d;
  auto all = hn::Zero(d);
  for (size_t i = 0; i < n_bytes; i += kCacheLine) {
    all = hn::Xor(all, hn::LoadU(d, reinterpret_cast<const uint8_t*>(side + i)));
  }
  hwy::PreventElision(hn::GetLane(all));
}

/// Calls f(T()) with the element of a cache type.
template <class F>
HWY_INLINE void WithElement(KvType type, const F& f) {
  switch (type) {
    case KvType::kF16:
      return f(hwy::float16_t());
    case KvType::kBF16:
      return f(hwy::bfloat16_t());
    case KvType::kF32:  // NOLINT(bugprone-branch-clone): not of the type of the next
      return f(float());
    case KvType::kQ8:
      return f(int8_t());
  }
}

/// Walks the split's pages for the rows from `first_row`, at most kBlockRows.
void AttendBlock(const AttentionArgs& args, size_t split, size_t first_row, float* states) {
  const size_t head_dim = args.head_dim;
  const size_t state_floats = AttentionStateFloats(head_dim);
  RowBlock block;
  block.n_rows = std::min(kBlockRows, args.n_tokens * args.n_heads - first_row);
  for (size_t r = 0; r < block.n_rows; ++r) {
    const size_t token = (first_row + r) / args.n_heads;
    const size_t head = (first_row + r) % args.n_heads;
    block.q[r] = args.q + token * args.q_stride + head * head_dim;
    block.n_seen[r] = args.first_position + token + 1;
    float* state = states + (first_row + r) * state_floats;
    std::fill_n(state, state_floats, 0.0F);
    block.acc[r] = state + 2;
    block.max[r] = -std::numeric_limits<float>::infinity();
    block.sums[r].fill(0);
  }

  const size_t n_seen = block.n_seen[block.n_rows - 1];
  const size_t split_end = std::min((split + 1) * kSplitTokens, n_seen);
  const size_t k_bytes = KvSideBytes(args.types.k, head_dim);
  const size_t v_bytes = KvSideBytes(args.types.v, head_dim);
  size_t begin = 0;  // first row that sees the page; rows are in the order of tokens
  for (size_t position = split * kSplitTokens; position < split_end; position += kPageTokens) {
    while (block.n_seen[begin] <= position) ++begin;
    for (size_t r = begin; r < block.n_rows; ++r) {
      block.n_valid[r] = std::min(block.n_seen[r] - position, kPageTokens);
    }
    const std::byte* page = args.pages[position / kPageTokens] + args.page_offset;
    ReadThrough(page, k_bytes);
    WithElement(args.types.k, [&](auto element) HWY_ATTR {
      ScorePage(Keys<decltype(element)>(page, head_dim), head_dim, begin, block);
    });
    page += k_bytes;
    SoftmaxPage(args.scale, begin, block);
    ReadThrough(page, v_bytes);
    WithElement(args.types.v, [&](auto element) HWY_ATTR {
      AccumulatePage(Values<decltype(element)>(page, head_dim), head_dim, begin, block);
    });
  }
  for (size_t r = 0; r < block.n_rows; ++r) {
    float* state = states + (first_row + r) * state_floats;
    state[0] = block.max[r];
    state[1] = SumOfLanes(block.sums[r]);
  }
}

void AttendSplit(const AttentionArgs& args, size_t split, float* states) {
  for (size_t row = 0; row < args.n_tokens * args.n_heads; row += kBlockRows) {
    AttendBlock(args, split, row, states);
  }
}

/// Rounds to T, to nearest even, too large values to the largest finite one.
template <typename T>
HWY_INLINE hn::Vec<hn::Rebind<T, DF>> RoundTo(VF x) {
  const DF d;
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    constexpr bool kIsF16 = std::is_same_v<T, hwy::float16_t>;
    const VF largest = hn::Set(d, kIsF16 ? 65504.0F : 0x1.FEp127F);
    const VF clamped =
        hn::IfThenElse(hn::Gt(hn::Abs(x), largest), hn::CopySign(largest, x), x);  // keeps NaN
    if constexpr (kIsF16) {
      return hn::DemoteTo(hn::Rebind<T, DF>(), clamped);
    } else {
      // By integers, since the instruction for it takes subnormals for zero.
      const hn::RebindToUnsigned<DF> du;
      const auto bits = hn::BitCast(du, clamped);
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
      const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF)));
      const auto quiet_nan = hn::Or(bits, hn::Set(du, 0x400000));
      const auto is_nan = hn::RebindMask(du, hn::IsNaN(x));
      const auto upper = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet_nan, rounded));
      return hn::BitCast(hn::Rebind<T, DF>(), hn::TruncateTo(hn::Rebind<uint16_t, DF>(), upper));
    }
  }
}

/// Where the elements and scales of one token's K or V go.
struct Slot {
  std::byte* side;
  size_t element_stride;  ///< elements apart
  size_t first_element;
  size_t scale_stride;
  size_t first_scale;
};

/// One block to int8: a scale of max|x|/127, and the nearest multiples of it.
void StoreQuantized(const float* x, size_t n, int8_t* to, size_t stride, hwy::float16_t& scale_to) {
  float largest = 0;
  bool is_nan = false;
  for (size_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    is_nan = is_nan || std::isnan(x[i]);
  }
  const float wanted = is_nan ? std::numeric_limits<float>::quiet_NaN() : largest / 127;
  scale_to = hwy::F16FromF32(wanted > 65504.0F ? 65504.0F : wanted);
  const float scale = hwy::F32FromF16(scale_to);  // as it will be read
  for (size_t i = 0; i < n; ++i) {
    const float multiple = scale > 0 ? std::clamp(x[i] / scale, -127.0F, 127.0F) : 0.0F;
    to[i * stride] = static_cast<int8_t>(std::nearbyint(multiple));
  }
}

template <typename T>
void StoreSide(const float* x, size_t head_dim, const Slot& slot) {
  T* to = reinterpret_cast<T*>(slot.side);
  if constexpr (std::is_same_v<T, int8_t>) {
    auto* scales = reinterpret_cast<hwy::float16_t*>(to + head_dim * kPageTokens);
    for (size_t i = 0; i < head_dim; i += kKvBlock) {
      StoreQuantized(x + i, std::min(kKvBlock, head_dim - i),
                     to + slot.first_element + i * slot.element_stride, slot.element_stride,
                     scales[slot.first_scale + i / kKvBlock * slot.scale_stride]);
    }
  } else {
    const DF d;
    const hn::Rebind<T, DF> dt;
    HWY_ALIGN T rounded[kLanes];
    for (size_t i = 0; i < head_dim; i += kLanes) {
      const size_t n = std::min(kLanes, head_dim - i);
      hn::Store(RoundTo<T>(hn::LoadN(d, x + i, n)), dt, rounded);
      for (size_t j = 0; j < n; ++j) {
        to[slot.first_element + (i + j) * slot.element_stride] = rounded[j];
      }
    }
  }
}

void StoreK(KvTypes types, const float* k, size_t head_dim, size_t slot, std::byte* head_page) {
  WithElement(types.k, [&](auto element) HWY_ATTR {
    StoreSide<decltype(element)>(k, head_dim, {head_page, kPageTokens, slot, kPageTokens, slot});
  });
}

void StoreV(KvTypes types, const float* v, size_t head_dim, size_t slot, std::byte* head_page) {
  head_page += KvSideBytes(types.k, head_dim);
  WithElement(types.v, [&](auto element) HWY_ATTR {
    StoreSide<decltype(element)>(v, head_dim,
                                 {head_page, 1, slot * head_dim, 1, slot * BlocksOf(head_dim)});
  });
}

void MergeAttention(size_t head_dim, const float* next, float* state) {
  constexpr float kEmpty = -std::numeric_limits<float>::infinity();
  if (next[0] == kEmpty) return;
  if (state[0] == kEmpty) {
    std::copy_n(next, 2 + head_dim, state);
    return;
  }
  const float max = std::max(state[0], next[0]);
  const float old_factor = ExpOne(state[0] - max);
  const float next_factor = ExpOne(next[0] - max);
  state[0] = max;
  const hn::ScalableTag<float> d;
  const auto old_weight = hn::Set(d, old_factor);
  const auto next_weight = hn::Set(d, next_factor);
  Map(
      1 + head_dim, state + 1,  // the sum and acc
      [=](auto old, auto added)
          HWY_ATTR { return hn::MulAdd(added, next_weight, hn::Mul(old, old_weight)); },
      state + 1, next + 1);
}

void FinishAttention(size_t head_dim, const float* state, float* out) {
  const hn::ScalableTag<float> d;
  const auto sum = hn::Set(d, state[1]);
  Map(
      head_dim, out, [sum](auto acc) HWY_ATTR { return hn::Div(acc, sum); }, state + 2);
}

}  // namespace
}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {
namespace {

HWY_EXPORT(StoreK);
HWY_EXPORT(StoreV);
HWY_EXPORT(AttendSplit);
HWY_EXPORT(MergeAttention);
HWY_EXPORT(FinishAttention);

}  // namespace

size_t KvSideBytes(KvType type, size_t head_dim) {
  const size_t n_elements = kPageTokens * head_dim;
  switch (type) {
    case KvType::kF16:
    case KvType::kBF16:
      return n_elements * sizeof(uint16_t);
    case KvType::kF32:
      return n_elements * sizeof(float);
    case KvType::kQ8:
      break;
  }
  const size_t n_scales = kPageTokens * ((head_dim + kKvBlock - 1) / kKvBlock);
  return n_elements + n_scales * sizeof(uint16_t);
}

size_t KvHeadPageBytes(KvTypes types, size_t head_dim) {
  return KvSideBytes(types.k, head_dim) + KvSideBytes(types.v, head_dim);
}

size_t AttentionStateFloats(size_t head_dim) { return (2 + head_dim + 15) / 16 * 16; }

void StoreK(KvTypes types, const float* k, size_t head_dim, size_t slot, std::byte* head_page) {
  HWY_DYNAMIC_DISPATCH(StoreK)(types, k, head_dim, slot, head_page);
}

void StoreV(KvTypes types, const float* v, size_t head_dim, size_t slot, std::byte* head_page) {
  HWY_DYNAMIC_DISPATCH(StoreV)(types, v, head_dim, slot, head_page);
}

void AttendSplit(const AttentionArgs& args, size_t split, float* states) {
  QUERN_DCHECK(args.head_dim % 2 == 0);
  HWY_DYNAMIC_DISPATCH(AttendSplit)(args, split, states);
}

void MergeAttention(size_t head_dim, const float* next, float* state) {
  HWY_DYNAMIC_DISPATCH(MergeAttention)(head_dim, next, state);
}

void FinishAttention(size_t head_dim, const float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(FinishAttention)(head_dim, state, out);
}

}  // namespace quern
#endif  // HWY_ONCE
