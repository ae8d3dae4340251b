#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/half.h"
#include "tests/kernels/on_targets.h"

namespace quern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr KvType kFloatTypes[] = {KvType::kF16, KvType::kBF16, KvType::kF32};
const KvTypes kTypes[] = {
    KvType::kF16,
    KvType::kBF16,
    KvType::kF32,
    KvType::kQ8,
    {KvType::kQ8, KvType::kF16},
    {KvType::kBF16, KvType::kQ8},
};

// What the cache gives back for the K or V of a token.
std::vector<float> Rounded(KvType type, std::vector<float> x) {
  for (size_t begin = 0; begin < x.size(); begin += kKvBlock) {
    const size_t end = std::min(begin + kKvBlock, x.size());
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
    const float scale = F16ToF32(F32ToF16(largest / 127));
    for (size_t i = begin; i < end; ++i) {
      if (type == KvType::kF16) x[i] = F16ToF32(F32ToF16(std::clamp(x[i], -kF16Max, kF16Max)));
      if (type == KvType::kBF16) x[i] = Bf16ToF32(F32ToBf16(x[i]));
      if (type == KvType::kQ8) {
        x[i] = scale * std::nearbyint(std::clamp(x[i] / scale, -127.0F, 127.0F));
      }
    }
  }
  return x;
}

void StoreKAndV(KvTypes types, const float* x, size_t head_dim, size_t slot, std::byte* page) {
  StoreK(types, x, head_dim, slot, page);
  StoreV(types, x, head_dim, slot, page);
}

// K and V of one head in pages. Slots that no token fills hold NaNs.
class Cache {
 public:
  Cache(KvTypes types, size_t head_dim) : types_(types), head_dim_(head_dim) {}
  Cache(const Cache&) = delete;  // the page table points into pages_
  Cache& operator=(const Cache&) = delete;

  void Append(const float* k, const float* v) {
    const size_t slot = size() % kPageTokens;
    if (slot == 0) {
      pages_.emplace_back(kOffset + KvHeadPageBytes(types_, head_dim_), std::byte{0xFF});
      page_table_.push_back(pages_.back().data());
    }
    std::byte* head_page = pages_.back().data() + kOffset;
    StoreK(types_, k, head_dim_, slot, head_page);
    StoreV(types_, v, head_dim_, slot, head_page);
    const std::vector<float> rounded_k = Rounded(types_.k, {k, k + head_dim_});
    const std::vector<float> rounded_v = Rounded(types_.v, {v, v + head_dim_});
    k_.insert(k_.end(), rounded_k.begin(), rounded_k.end());
    v_.insert(v_.end(), rounded_v.begin(), rounded_v.end());
  }

  void AppendRandom(size_t n_tokens) {
    for (size_t t = 0; t < n_tokens; ++t) {
      const auto seed = static_cast<uint32_t>(2 * size());
      const std::vector<float> k = RandomFloats(head_dim_, seed);
      const std::vector<float> v = RandomFloats(head_dim_, seed + 1);
      Append(k.data(), v.data());
    }
  }

  size_t size() const { return k_.size() / head_dim_; }
  const float* k(size_t position) const { return k_.data() + position * head_dim_; }
  const float* v(size_t position) const { return v_.data() + position * head_dim_; }

  AttentionArgs Args(const float* q, size_t n_tokens, size_t n_heads, size_t first_position) const {
    return {.types = types_,
            .head_dim = head_dim_,
            .scale = 1 / std::sqrt(static_cast<float>(head_dim_)),
            .q = q,
            .q_stride = n_heads * head_dim_,
            .n_tokens = n_tokens,
            .n_heads = n_heads,
            .first_position = first_position,
            .pages = page_table_.data(),
            .page_offset = kOffset};
  }

 private:
  static constexpr size_t kOffset = 64;
  KvTypes types_;
  size_t head_dim_;
  std::vector<std::vector<std::byte>> pages_;
  std::vector<const std::byte*> page_table_;
  std::vector<float> k_;
  std::vector<float> v_;
};

// All splits, merged in order: [n_tokens][n_heads][head_dim].
std::vector<float> Attend(const AttentionArgs& args) {
  const size_t n_rows = args.n_tokens * args.n_heads;
  const size_t state_floats = AttentionStateFloats(args.head_dim);
  std::vector<float> states(n_rows * state_floats);
  AttendSplit(args, 0, states.data());
  for (size_t split = 1; split < SplitsAt(args.first_position + args.n_tokens - 1); ++split) {
    std::vector<float> next(states.size());
    AttendSplit(args, split, next.data());
    for (size_t row = 0; row < n_rows; ++row) {
      MergeAttention(args.head_dim, next.data() + row * state_floats,
                     states.data() + row * state_floats);
    }
  }
  std::vector<float> out(n_rows * args.head_dim);
  for (size_t row = 0; row < n_rows; ++row) {
    FinishAttention(args.head_dim, states.data() + row * state_floats,
                    out.data() + row * args.head_dim);
  }
  return out;
}

// Softmax attention in double of the query of one row, and the error that floats may make of it.
struct Reference {
  std::vector<double> out;
  double tolerance = 0;
};

Reference AttendInDouble(const Cache& cache, const float* q, size_t head_dim, size_t n_positions) {
  const double scale = 1 / std::sqrt(static_cast<float>(head_dim));
  std::vector<double> scores(n_positions);
  double max_size = 0;  // of sum |q k|, which bounds a score and its rounding
  double max_v = 0;
  for (size_t position = 0; position < n_positions; ++position) {
    double size = 0;
    for (size_t i = 0; i < head_dim; ++i) {
      const double product = static_cast<double>(q[i]) * cache.k(position)[i];
      scores[position] += product * scale;
      size += std::abs(product) * scale;
      max_v = std::max(max_v, std::abs(static_cast<double>(cache.v(position)[i])));
    }
    max_size = std::max(max_size, size);
  }
  const double max = *std::ranges::max_element(scores);
  double sum = 0;
  Reference reference{.out = std::vector<double>(head_dim)};
  for (size_t position = 0; position < n_positions; ++position) {
    const double p = std::exp(scores[position] - max);
    sum += p;
    for (size_t i = 0; i < head_dim; ++i) reference.out[i] += p * cache.v(position)[i];
  }
  for (double& out : reference.out) out /= sum;
  // Relative errors in units of 2^-24, 1 a rounding. A score takes head_dim multiplications and as
  // many additions, the scaling and the subtraction of the maximum; an error of the score is a
  // relative one of p, which adds 4 of exp. Numerator and sum each have p's error; the former takes
  // two roundings a position, the latter one a page and lane and four more. Each page rescales by
  // an alpha with exp's error and that of both maxima, then rounds; each split likewise.
  const double score = (2.0 * head_dim + 3) * max_size + 4;
  const double n_pages = static_cast<double>(n_positions) / kPageTokens + 2;
  const double numerator = score + 2.0 * n_positions + 6 * n_pages;
  const double denominator = score + 11 * n_pages + 4;
  reference.tolerance = 0x1p-24 * (numerator + denominator + 1) * max_v;
  return reference;
}

class AttentionTest : public OnTargets {
 protected:
  // On all rows of `args`.
  static void ExpectMatchesReference(const Cache& cache, const AttentionArgs& args) {
    const std::vector<float> out = Attend(args);
    for (size_t row = 0; row < args.n_tokens * args.n_heads; ++row) {
      const size_t token = row / args.n_heads;
      const Reference reference = AttendInDouble(cache, args.q + row * args.head_dim, args.head_dim,
                                                 args.first_position + token + 1);
      for (size_t i = 0; i < args.head_dim; ++i) {
        ASSERT_NEAR(out[row * args.head_dim + i], reference.out[i], reference.tolerance)
            << "head_dim " << args.head_dim << ", first position " << args.first_position
            << ", token " << token << ", head " << row % args.n_heads << ", element " << i;
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(, AttentionTest, testing::ValuesIn(SupportedTargets()), TargetTestName);

TEST_P(AttentionTest, MatchesSoftmaxInDoubleForEveryHeadSize) {
  for (const KvTypes type : kTypes) {
    for (const size_t head_dim : {2, 6, 16, 30, 64, 80, 96, 100, 128, 256}) {
      Cache cache(type, head_dim);
      cache.AppendRandom(131);
      const std::vector<float> q = RandomFloats(5 * 3 * head_dim, 99);
      ExpectMatchesReference(cache, cache.Args(q.data(), 5, 3, 126));
    }
  }
}

TEST_P(AttentionTest, MatchesSoftmaxInDoubleAtPageAndSplitBorders) {
  const size_t head_dim = 64;
  for (const KvTypes type : kTypes) {
    Cache cache(type, head_dim);
    cache.AppendRandom(1506);
    const std::vector<float> q = RandomFloats(5 * 6 * head_dim, 99);
    for (const size_t first_position : {0, 1, 62, 63, 64, 510, 511, 512, 513, 1023, 1500}) {
      for (const auto& [n_tokens, n_heads] :
           std::vector<std::pair<size_t, size_t>>{{1, 1}, {1, 4}, {2, 3}, {5, 6}}) {
        ExpectMatchesReference(cache, cache.Args(q.data(), n_tokens, n_heads, first_position));
      }
    }
  }
}

// The rule of batch invariance: the bits of a query are those that it has alone.
TEST_P(AttentionTest, TokensAndHeadsAloneHaveTheBitsOfTheGroup) {
  for (const KvTypes type : kTypes) {
    for (const size_t head_dim : {20, 64, 128}) {
      const size_t n_tokens = 70;
      const size_t n_heads = 3;
      const size_t first_position = 470;  // so that the tokens lie in two splits and three pages
      Cache cache(type, head_dim);
      cache.AppendRandom(first_position + n_tokens);
      const std::vector<float> q = RandomFloats(n_tokens * n_heads * head_dim, 99);
      const std::vector<float> together =
          Attend(cache.Args(q.data(), n_tokens, n_heads, first_position));
      for (size_t token = 0; token < n_tokens; ++token) {
        for (size_t head = 0; head < n_heads; ++head) {
          const size_t at = (token * n_heads + head) * head_dim;
          const std::vector<float> in_group(together.begin() + at,
                                            together.begin() + at + head_dim);
          const std::vector<float> alone =
              Attend(cache.Args(q.data() + at, 1, 1, first_position + token));
          ASSERT_TRUE(SameBits(in_group, alone)) << head_dim << " " << token << " " << head;
        }
      }
      for (const size_t chunk : {1, 2, 7, 32}) {
        std::vector<float> chunked;
        for (size_t begin = 0; begin < n_tokens; begin += chunk) {
          const std::vector<float> part = Attend(cache.Args(q.data() + begin * n_heads * head_dim,
                                                            std::min(chunk, n_tokens - begin),
                                                            n_heads, first_position + begin));
          chunked.insert(chunked.end(), part.begin(), part.end());
        }
        ASSERT_TRUE(SameBits(together, chunked)) << head_dim << " " << chunk;
      }
    }
  }
}

TEST_P(AttentionTest, LaterTokensDoNotReachEarlierOnes) {
  const size_t head_dim = 64;
  Cache before(KvType::kF32, head_dim);
  Cache after(KvType::kF32, head_dim);
  before.AppendRandom(67);
  after.AppendRandom(66);
  const std::vector<float> nan(head_dim, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> infinity(head_dim, kInfinity);
  after.Append(nan.data(), infinity.data());
  const std::vector<float> q = RandomFloats(4 * head_dim, 99);
  std::vector<float> clean = Attend(before.Args(q.data(), 4, 1, 63));
  std::vector<float> poisoned = Attend(after.Args(q.data(), 4, 1, 63));
  EXPECT_TRUE(std::isnan(poisoned.back()));
  clean.resize(3 * head_dim);
  poisoned.resize(3 * head_dim);
  EXPECT_TRUE(SameBits(clean, poisoned));
}

TEST_P(AttentionTest, QueriesThatDoNotReachASplitGetTheEmptyState) {
  const size_t head_dim = 6;
  const size_t n = AttentionStateFloats(head_dim);
  ASSERT_EQ(n, 16);
  Cache cache(KvType::kF16, head_dim);
  cache.AppendRandom(514);
  const std::vector<float> q = RandomFloats(4 * head_dim, 99);
  const AttentionArgs args = cache.Args(q.data(), 4, 1, 510);  // tokens 2 and 3 are in split 1
  std::vector<float> states(4 * n, 7.0F);
  AttendSplit(args, 1, states.data());
  std::vector<float> empty(n, 0.0F);
  empty[0] = -kInfinity;
  for (size_t token = 0; token < 4; ++token) {
    const std::vector<float> state(states.begin() + token * n, states.begin() + (token + 1) * n);
    EXPECT_EQ(SameBits(state, empty), token < 2) << token;
  }
  AttendSplit(args, 2, states.data());
  for (size_t token = 0; token < 4; ++token) {
    EXPECT_TRUE(SameBits(empty, {states.begin() + token * n, states.begin() + (token + 1) * n}));
  }
}

TEST_P(AttentionTest, MergingAnEmptyStateChangesNothing) {
  for (const size_t head_dim : {2, 64, 80}) {
    const size_t n = AttentionStateFloats(head_dim);
    std::vector<float> state = RandomFloats(n, 1);
    std::fill(state.begin() + 2 + head_dim, state.end(), 0.0F);
    state[2] = -0.0F;
    std::vector<float> empty(n, 0.0F);
    empty[0] = -kInfinity;
    std::vector<float> merged = state;
    MergeAttention(head_dim, empty.data(), merged.data());
    EXPECT_TRUE(SameBits(state, merged));
    merged = empty;
    MergeAttention(head_dim, state.data(), merged.data());
    EXPECT_TRUE(SameBits(state, merged));
    merged = empty;
    MergeAttention(head_dim, empty.data(), merged.data());
    EXPECT_TRUE(SameBits(empty, merged));
  }
}

TEST_P(AttentionTest, OneScoreFarAboveAllOthersGivesItsValue) {
  const size_t head_dim = 64;
  const std::vector<float> low(head_dim, -100.0F);
  const std::vector<float> high(head_dim, 100.0F);
  const std::vector<float> q(head_dim, 50.0F);  // scores of +-40,000
  for (const size_t peak : {0, 63, 64, 511, 512, 599}) {
    Cache cache(KvType::kF16, head_dim);
    for (size_t position = 0; position < 600; ++position) {
      const std::vector<float> v(head_dim, static_cast<float>(position));
      cache.Append(position == peak ? high.data() : low.data(), v.data());
    }
    EXPECT_EQ(Attend(cache.Args(q.data(), 1, 1, 599)),
              std::vector<float>(head_dim, static_cast<float>(peak)));
  }
}

TEST_P(AttentionTest, EqualScoresOfAnySizeGiveTheMean) {
  const size_t head_dim = 64;
  for (const float size : {-3e38F, -60000.0F, 0.0F, 60000.0F, 3e38F}) {
    Cache cache(KvType::kF32, head_dim);
    std::vector<float> k(head_dim, 0.0F);
    k[5] = size;
    for (size_t position = 0; position < 1024; ++position) {
      const std::vector<float> v(head_dim, static_cast<float>(position % 2));
      cache.Append(k.data(), v.data());
    }
    std::vector<float> q(head_dim, 0.0F);
    q[5] = 1;
    EXPECT_EQ(Attend(cache.Args(q.data(), 1, 1, 1023)), std::vector<float>(head_dim, 0.5F));
  }
}

TEST_P(AttentionTest, StoreRoundsToNearestEvenAndSaturates) {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < (1ULL << 32); bits += 65521) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  // Ties, the largest values, subnormals of both types and what rounds to them.
  for (const float v : {1 + 0x1p-11F, 1 + 0x3p-11F, 1 + 0x1p-8F, 1 + 0x3p-8F, 65504.0F, 65519.0F,
                        65520.0F, 1e10F, 3.39e38F, 3.4028e38F, 0x1p-24F, 0x1p-25F, 0x1.8p-24F,
                        0x1p-130F, 0x1.01p-140F, kInfinity, -kInfinity, -65520.0F, -0.0F}) {
    values.push_back(v);
  }
  const size_t head_dim = 22;  // whole vectors and a rest
  values.resize(values.size() / head_dim * head_dim + head_dim);
  for (const KvType type : {KvType::kF16, KvType::kBF16}) {
    const uint16_t largest = type == KvType::kF16 ? 0x7BFF : 0x7F7F;
    const uint16_t infinity = type == KvType::kF16 ? 0x7C00 : 0x7F80;
    std::vector<uint16_t> page(KvHeadPageBytes(type, head_dim) / 2);
    const uint16_t* k = page.data();
    const uint16_t* v = k + head_dim * kPageTokens;
    for (size_t begin = 0; begin < values.size(); begin += head_dim) {
      const size_t slot = begin / head_dim % kPageTokens;
      const float* x = values.data() + begin;
      StoreKAndV(type, x, head_dim, slot, reinterpret_cast<std::byte*>(page.data()));
      for (size_t i = 0; i < head_dim; ++i) {
        const uint16_t stored = v[slot * head_dim + i];
        ASSERT_EQ(k[i * kPageTokens + slot], stored);
        if (std::isnan(x[i])) {
          ASSERT_GT(stored & 0x7FFF, infinity);
          continue;
        }
        uint16_t expected = type == KvType::kF16 ? F32ToF16(x[i]) : F32ToBf16(x[i]);
        if ((expected & 0x7FFF) == infinity) expected = (expected & 0x8000) | largest;
        ASSERT_EQ(stored, expected) << x[i];
      }
    }
  }
}

TEST_P(AttentionTest, StoreTouchesItsSlotAlone) {
  for (const KvType type : kFloatTypes) {
    const size_t head_dim = 10;
    const std::vector<float> x = RandomFloats(head_dim, 1);
    const size_t width = type == KvType::kF32 ? 4 : 2;
    std::vector<std::byte> page(KvHeadPageBytes(type, head_dim), std::byte{0xFF});
    EXPECT_EQ(page.size(), 2 * kPageTokens * head_dim * width);
    StoreKAndV(type, x.data(), head_dim, 63, page.data());
    size_t n_changed = 0;
    for (size_t i = 0; i < page.size(); i += width) {
      const bool is_k = i < page.size() / 2;
      const size_t element = i / width % (head_dim * kPageTokens);
      const bool in_slot = is_k ? element % kPageTokens == 63 : element / head_dim == 63;
      const bool changed =
          std::any_of(&page[i], &page[i] + width, [](std::byte b) { return b != std::byte{0xFF}; });
      EXPECT_EQ(changed, in_slot) << i;
      n_changed += changed ? 1 : 0;
    }
    EXPECT_EQ(n_changed, 2 * head_dim);
  }
}

TEST_P(AttentionTest, Q8IsNearAndKeepsToItsSlotAndBlock) {
  const size_t head_dim = 80;  // two blocks and a half
  const size_t n_blocks = 3;
  std::vector<float> x = RandomFloats(head_dim, 1);
  x[3] = 1e-9F;
  x[40] = std::numeric_limits<float>::quiet_NaN();
  x[64] = kInfinity;
  x[65] = -kInfinity;
  std::vector<std::byte> page(KvHeadPageBytes(KvType::kQ8, head_dim), std::byte{0x55});
  const size_t side = KvSideBytes(KvType::kQ8, head_dim);
  ASSERT_EQ(side, kPageTokens * (head_dim + 2 * n_blocks));
  StoreKAndV(KvType::kQ8, x.data(), head_dim, 62, page.data());
  std::vector<bool> is_slot(page.size());
  const float largest = std::abs(*std::max_element(
      x.begin(), x.begin() + 32, [](float a, float b) { return std::abs(a) < std::abs(b); }));
  for (const bool is_k : {true, false}) {
    const size_t begin = is_k ? 0 : side;
    for (size_t i = 0; i < head_dim; ++i) {
      const size_t block = i / kKvBlock;
      const size_t element = begin + (is_k ? i * kPageTokens + 62 : 62 * head_dim + i);
      const size_t scale_at = begin + head_dim * kPageTokens +
                              2 * (is_k ? block * kPageTokens + 62 : 62 * n_blocks + block);
      is_slot[element] = is_slot[scale_at] = is_slot[scale_at + 1] = true;
      uint16_t bits = 0;
      std::memcpy(&bits, &page[scale_at], sizeof(bits));
      const float stored = F16ToF32(bits) * static_cast<float>(static_cast<int8_t>(page[element]));
      if (block == 0) {
        // Half a step; the scale's own rounding moves 127 steps by 127 * 2^-11 of a step.
        EXPECT_NEAR(stored, x[i], largest / 127 * (0.5F + 127 * 0x1p-11F)) << i;
      } else if (block == 1) {
        EXPECT_TRUE(std::isnan(stored)) << i;
      } else {
        EXPECT_TRUE(std::isfinite(stored)) << i;
      }
      if (i == 64 || i == 65) {
        EXPECT_EQ(stored, static_cast<float>(i == 64 ? 127 : -127) * kF16Max);
      }
    }
  }
  for (size_t i = 0; i < page.size(); ++i) {
    if (!is_slot[i]) {
      EXPECT_EQ(page[i], std::byte{0x55}) << i;
    }
  }
}

TEST(AttentionAcrossTargetsTest, FusedTargetsGiveTheSameBits) {
  for (const KvTypes type : kTypes) {
    for (const size_t head_dim : {20, 80, 128}) {
      std::vector<float> first;
      for (const std::string& target : FmaTargets()) {
        ASSERT_TRUE(ForceTarget(target).has_value());
        Cache cache(type, head_dim);
        cache.AppendRandom(600);
        const std::vector<float> q = RandomFloats(9 * 3 * head_dim, 99);
        const std::vector<float> out = Attend(cache.Args(q.data(), 9, 3, 590));
        if (first.empty()) first = out;
        EXPECT_TRUE(SameBits(first, out)) << target << " " << head_dim;
      }
    }
  }
  ChooseBestTarget();
}

}  // namespace
}  // namespace quern
