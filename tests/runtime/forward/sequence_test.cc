#include "runtime/forward/sequence.h"

#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace quern {
namespace {

HParams SmallHParams() {
  LayerSpec layer;
  layer.attention.n_head_kv = 3;
  layer.attention.k_dim = 16;
  HParams hparams;
  hparams.layers.assign(2, layer);
  return hparams;
}

class SequenceTest : public testing::Test {
 protected:
  KvPool pool_ = std::move(*KvPool::Create(SmallHParams(), KvType::kF16, 4));
};

TEST_F(SequenceTest, ReservesWholePagesOrNothing) {
  Sequence sequence(&pool_);
  ASSERT_TRUE(sequence.Reserve(1));
  EXPECT_EQ(sequence.pages().size(), 1U);
  ASSERT_TRUE(sequence.Reserve(kPageTokens));
  EXPECT_EQ(sequence.pages().size(), 1U);
  ASSERT_TRUE(sequence.Reserve(kPageTokens + 1));
  EXPECT_EQ(sequence.pages().size(), 2U);

  const Status status = sequence.Reserve(5 * kPageTokens);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(status.error().message, "the KV cache has 2 free pages, 3 are needed");
  EXPECT_EQ(sequence.pages().size(), 2U);
}

TEST_F(SequenceTest, GivesPagesBack) {
  {
    Sequence sequence(&pool_);
    ASSERT_TRUE(sequence.Reserve(4 * kPageTokens));
    sequence.Advance(3 * kPageTokens);
    EXPECT_EQ(pool_.n_free(), 0U);
    sequence.Truncate(kPageTokens + 1);
    EXPECT_EQ(pool_.n_free(), 2U);
    EXPECT_EQ(sequence.n_past(), kPageTokens + 1);
    const Sequence moved(std::move(sequence));
    EXPECT_EQ(moved.pages().size(), 2U);
  }
  EXPECT_EQ(pool_.n_free(), 4U);
}

TEST_F(SequenceTest, SharedPagesLiveUntilTheLastOwner) {
  Sequence second(&pool_);
  {
    Sequence first(&pool_);
    ASSERT_TRUE(first.Reserve(2 * kPageTokens));
    const std::vector<PageSet> pages = first.pages();
    second.Share(std::span(pages).first(1));
    EXPECT_EQ(second.n_past(), kPageTokens);
    EXPECT_EQ(second.page_table(0)[0], first.page_table(0)[0]);
    EXPECT_EQ(pool_.n_free(), 2U);
  }
  EXPECT_EQ(pool_.n_free(), 3U);
  second.Truncate(0);
  EXPECT_EQ(pool_.n_free(), 4U);
}

/// A sequence that is cut back into a page of another's writes to a copy of it.
TEST_F(SequenceTest, SharedPagesAreCopiedBeforeTheyAreWritten) {
  Sequence first(&pool_);
  ASSERT_TRUE(first.Reserve(2 * kPageTokens));
  first.Advance(2 * kPageTokens);
  std::memset(first.page_table(0)[0], 7, pool_.page_bytes());
  Sequence second(&pool_);
  second.Share(first.pages());
  second.Truncate(10);
  ASSERT_TRUE(second.Reserve(1));
  EXPECT_NE(second.page_table(0)[0], first.page_table(0)[0]);
  EXPECT_EQ(std::memcmp(second.page_table(0)[0], first.page_table(0)[0], pool_.page_bytes()), 0);
  EXPECT_EQ(pool_.group(0).references(first.pages()[0][0]), 1U);
  EXPECT_EQ(pool_.n_free(), 1U);

  const std::byte* own = second.page_table(0)[0];
  ASSERT_TRUE(second.Reserve(2));
  EXPECT_EQ(second.page_table(0)[0], own);
  Sequence third(&pool_);
  third.Share(first.pages());
  third.Truncate(kPageTokens + 1);
  EXPECT_FALSE(third.Reserve(kPageTokens)) << "one page to copy and one more, but one is free";
  ASSERT_TRUE(third.Reserve(1));
  EXPECT_EQ(third.page_table(0)[0], first.page_table(0)[0]);
}

TEST_F(SequenceTest, PagesAndHeadsDoNotOverlap) {
  const size_t head_bytes = KvHeadPageBytes(KvType::kF16, 16);
  EXPECT_EQ(pool_.Offset(0, 0), 0U);
  EXPECT_EQ(pool_.Offset(0, 2), 2 * head_bytes);
  EXPECT_EQ(pool_.Offset(1, 0), 3 * head_bytes);
  EXPECT_EQ(pool_.page_bytes(), 6 * head_bytes);
  EXPECT_EQ(pool_.group(0).page(2) - pool_.group(0).page(1),
            static_cast<ptrdiff_t>(pool_.page_bytes()));
}

/// Layers 0 and 2 see everything, layers 1 and 3 the last 100 positions, with other heads.
HParams MixedHParams() {
  LayerSpec full;
  full.attention.n_head_kv = 3;
  full.attention.k_dim = 16;
  LayerSpec windowed = full;
  windowed.attention.n_head_kv = 1;
  windowed.attention.window = 100;
  HParams hparams;
  hparams.layers = {full, windowed, full, windowed};
  return hparams;
}

class WindowTest : public testing::Test {
 protected:
  /// Takes `n_tokens` more.
  void Run(Sequence& sequence, size_t n_tokens) {
    ASSERT_TRUE(sequence.Reserve(n_tokens));
    sequence.Advance(n_tokens);
  }
  KvPool pool_ = std::move(*KvPool::Create(MixedHParams(), KvType::kF16, 8));
  size_t FreeOf(size_t group) const { return pool_.group(group).n_free(); }
};

TEST_F(WindowTest, LayersOfOneShapeAndVisibilityShareATable) {
  ASSERT_EQ(pool_.n_groups(), 2U);
  EXPECT_EQ(pool_.GroupOf(0), pool_.GroupOf(2));
  EXPECT_EQ(pool_.GroupOf(1), pool_.GroupOf(3));
  const size_t head_bytes = KvHeadPageBytes(KvType::kF16, 16);
  EXPECT_EQ(pool_.Offset(2, 1), 4 * head_bytes);
  EXPECT_EQ(pool_.Offset(3, 0), 1 * head_bytes);
  EXPECT_EQ(pool_.group(0).page_bytes(), 6 * head_bytes);
  EXPECT_EQ(pool_.group(1).page_bytes(), 2 * head_bytes);
  EXPECT_EQ(pool_.page_bytes(), 8 * head_bytes);
}

TEST_F(WindowTest, PagesBehindTheWindowAreGivenBack) {
  Sequence sequence(&pool_);
  Run(sequence, 163);  // the row at 163 sees 64 and later
  EXPECT_EQ(FreeOf(1), 6U);
  EXPECT_EQ(sequence.page_table(1)[0], nullptr);
  EXPECT_NE(sequence.page_table(1)[1], nullptr);
  EXPECT_NE(sequence.page_table(0)[0], nullptr);
  EXPECT_EQ(FreeOf(0), 5U);
  Run(sequence, 64);
  EXPECT_EQ(FreeOf(0), 4U);
  EXPECT_EQ(FreeOf(1), 6U);
  EXPECT_EQ(pool_.n_free(), 4U);
}

TEST_F(WindowTest, TruncateGoesBackToWhereTheStateIsThere) {
  Sequence sequence(&pool_);
  Run(sequence, 300);  // the row at 300 sees 201 and later: pages 0 to 2 of the window are gone
  EXPECT_EQ(sequence.Truncate(295), 295U);
  EXPECT_EQ(sequence.Truncate(200), 0U) << "whose row would see 101 to 200";
  EXPECT_EQ(FreeOf(0), 8U);
  EXPECT_EQ(FreeOf(1), 8U);
  Run(sequence, 80);
  EXPECT_EQ(sequence.Truncate(70), 70U);
  EXPECT_EQ(sequence.Truncate(500), 70U) << "at most";
}

TEST_F(WindowTest, WhatIsSharedWithoutItsBeginningIsUsable) {
  Sequence first(&pool_);
  Run(first, 192);
  Sequence second(&pool_);
  second.Share(first.pages());
  EXPECT_EQ(second.n_past(), 192U);
  EXPECT_EQ(second.page_table(1)[0], nullptr);
  EXPECT_EQ(second.page_table(1)[2], first.page_table(1)[2]);
  Run(second, 10);
  EXPECT_EQ(second.Truncate(0), 0U);
}

TEST(KvPool, RefusesWhatCannotBeReserved) {
  const Result<KvPool> pool = KvPool::Create(SmallHParams(), KvType::kF16, size_t{1} << 50);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().code, ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace quern
