#include "runtime/forward/sequence.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

namespace quern {
namespace {

HParams SmallHParams() {
  HParams hparams;
  hparams.n_layer = 2;
  hparams.n_head_kv = 3;
  hparams.head_dim = 16;
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
    second.Share(first.pages().first(1));
    EXPECT_EQ(second.n_past(), kPageTokens);
    EXPECT_EQ(second.page_table()[0], first.page_table()[0]);
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
  std::memset(first.page_table()[0], 7, pool_.page_bytes());
  Sequence second(&pool_);
  second.Share(first.pages());
  second.Truncate(10);
  ASSERT_TRUE(second.Reserve(1));
  EXPECT_NE(second.page_table()[0], first.page_table()[0]);
  EXPECT_EQ(std::memcmp(second.page_table()[0], first.page_table()[0], pool_.page_bytes()), 0);
  EXPECT_EQ(pool_.references(first.pages()[0]), 1U);
  EXPECT_EQ(pool_.n_free(), 1U);

  const std::byte* own = second.page_table()[0];
  ASSERT_TRUE(second.Reserve(2));
  EXPECT_EQ(second.page_table()[0], own);
  Sequence third(&pool_);
  third.Share(first.pages());
  third.Truncate(kPageTokens + 1);
  EXPECT_FALSE(third.Reserve(kPageTokens)) << "one page to copy and one more, but one is free";
  ASSERT_TRUE(third.Reserve(1));
  EXPECT_EQ(third.page_table()[0], first.page_table()[0]);
}

TEST_F(SequenceTest, PagesAndHeadsDoNotOverlap) {
  const size_t head_bytes = KvHeadPageBytes(KvType::kF16, 16);
  EXPECT_EQ(pool_.Offset(0, 0), 0U);
  EXPECT_EQ(pool_.Offset(0, 2), 2 * head_bytes);
  EXPECT_EQ(pool_.Offset(1, 0), 3 * head_bytes);
  EXPECT_EQ(pool_.page_bytes(), 6 * head_bytes);
  EXPECT_EQ(pool_.page(2) - pool_.page(1), static_cast<ptrdiff_t>(pool_.page_bytes()));
}

TEST(KvPool, RefusesWhatCannotBeReserved) {
  const Result<KvPool> pool = KvPool::Create(SmallHParams(), KvType::kF16, size_t{1} << 50);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().code, ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace quern
