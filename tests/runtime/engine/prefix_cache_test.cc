#include "runtime/engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/forward/sequence.h"

namespace quern {
namespace {

using Pages = std::vector<PageSet>;

HParams SmallHParams() {
  LayerSpec layer;
  layer.attention.n_head_kv = 1;
  layer.attention.k_dim = 16;
  HParams hparams;
  hparams.layers.assign(1, layer);
  return hparams;
}

std::vector<Token> Tokens(size_t n, Token first) {
  std::vector<Token> tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class PrefixCacheTest : public testing::Test {
 protected:
  /// Runs a sequence of these tokens and keeps its pages in the cache.
  Pages Keep(const std::vector<Token>& tokens) {
    Sequence sequence(&pool_);
    const Pages shared = cache_.Find(tokens);
    sequence.Share(shared);
    EXPECT_TRUE(sequence.Reserve(tokens.size() - sequence.n_past()));
    sequence.Advance(tokens.size() - sequence.n_past());
    cache_.Keep(tokens, sequence.pages());
    return sequence.pages();
  }

  KvPool pool_ = std::move(*KvPool::Create(SmallHParams(), KvType::kF16, 6));
  PrefixCache cache_{&pool_};
};

TEST_F(PrefixCacheTest, FindsTheLongestKnownPrefix) {
  const std::vector<Token> tokens = Tokens(2 * kPageTokens + 10, 0);
  const Pages pages = Keep(tokens);
  EXPECT_EQ(cache_.size(), 2U);
  EXPECT_EQ(pool_.n_free(), 4U);
  EXPECT_EQ(cache_.Find(tokens), Pages(pages.begin(), pages.begin() + 2));

  std::vector<Token> other = tokens;
  other[kPageTokens + 3] = 9999;
  EXPECT_EQ(cache_.Find(other), Pages(pages.begin(), pages.begin() + 1));
  other[0] = 9999;
  EXPECT_TRUE(cache_.Find(other).empty());
}

TEST_F(PrefixCacheTest, LeavesOneTokenToRun) {
  const std::vector<Token> tokens = Tokens(2 * kPageTokens, 0);
  Keep(tokens);
  EXPECT_EQ(cache_.Find(tokens).size(), 1U);
  EXPECT_EQ(cache_.Find(Tokens(2 * kPageTokens + 1, 0)).size(), 2U);
}

TEST_F(PrefixCacheTest, TheSamePageUnderAnotherParentIsAnotherPage) {
  std::vector<Token> tokens = Tokens(kPageTokens, 500);
  const std::vector<Token> second = Tokens(kPageTokens, 0);
  tokens.insert(tokens.end(), second.begin(), second.end());
  Keep(tokens);
  EXPECT_TRUE(cache_.Find(Tokens(kPageTokens + 1, 0)).empty());
}

TEST_F(PrefixCacheTest, MakesRoomFromTheLeastRecentLeaf) {
  const std::vector<Token> first = Tokens(2 * kPageTokens + 1, 0);
  const std::vector<Token> second = Tokens(2 * kPageTokens + 1, 1000);
  Keep(first);
  Keep(second);
  EXPECT_EQ(pool_.n_free(), 2U);
  EXPECT_EQ(cache_.Find(first).size(), 2U);  // now `second` is the least recent
  cache_.MakeRoom(3);
  EXPECT_EQ(pool_.n_free(), 3U);
  EXPECT_EQ(cache_.Find(second).size(), 1U);
  EXPECT_EQ(cache_.Find(first).size(), 2U);
  cache_.MakeRoom(6);
  EXPECT_EQ(pool_.n_free(), 6U);
  EXPECT_EQ(cache_.size(), 0U);
}

TEST_F(PrefixCacheTest, NeverForgetsPagesInUse) {
  const std::vector<Token> tokens = Tokens(2 * kPageTokens + 1, 0);
  Keep(tokens);
  std::optional<Sequence> user(&pool_);
  user->Share(cache_.Find(tokens));
  cache_.MakeRoom(6);
  EXPECT_EQ(cache_.size(), 2U);
  user.reset();
  cache_.MakeRoom(6);
  EXPECT_EQ(cache_.size(), 0U);
  EXPECT_EQ(pool_.n_free(), 6U);
}

/// Rows that start from vectors are known by what the vectors stand for.
TEST_F(PrefixCacheTest, VectorsArePartOfTheKey) {
  std::vector<Token> tokens = Tokens(kPageTokens + 1, 0);
  tokens[5] = PrefixRows::kVector;
  tokens[6] = PrefixRows::kVector;
  const std::vector<VectorDigest> image = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  const std::vector<VectorDigest> other = {{1, 2, 3, 4}, {5, 6, 7, 9}};
  Sequence sequence(&pool_);
  ASSERT_TRUE(sequence.Reserve(tokens.size()));
  sequence.Advance(tokens.size());
  cache_.Keep({tokens, image}, sequence.pages());
  EXPECT_EQ(cache_.Find({tokens, image}).size(), 1U);
  EXPECT_TRUE(cache_.Find({tokens, other}).empty());
}

/// A group of layers that sees the last 100 positions.
TEST(PrefixCacheOfWindows, FindsPrefixesWhoseWindowIsThere) {
  HParams hparams = SmallHParams();
  hparams.layers.push_back(hparams.layers.front());
  hparams.layers.back().attention.window = 100;
  KvPool pool = std::move(*KvPool::Create(hparams, KvType::kF16, 12));
  PrefixCache cache(&pool);
  const std::vector<Token> tokens = Tokens(5 * kPageTokens, 0);
  const auto run = [&](size_t n_tokens) {
    Sequence sequence(&pool);
    sequence.Share(cache.Find(std::span(tokens).first(n_tokens)));
    const size_t n_found = sequence.n_past();
    EXPECT_TRUE(sequence.Reserve(n_tokens - n_found));
    sequence.Advance(n_tokens - n_found);
    cache.Keep(std::span(tokens).first(n_tokens), sequence.pages());
    return n_found;
  };
  EXPECT_EQ(run(4 * kPageTokens), 0U);
  // Of the window there are pages 2 and 3: a prompt that leaves the path after page 2 would see
  // page 1.
  std::vector<Token> branch(tokens.begin(), tokens.begin() + 3 * kPageTokens + 1);
  EXPECT_TRUE(cache.Find(branch).empty());
  EXPECT_EQ(cache.Find(tokens).size(), 4U);
  EXPECT_EQ(cache.Find(tokens).front()[1], kNoPage);
  // Who runs it again leaves what was missing.
  EXPECT_EQ(run(2 * kPageTokens), 0U);
  EXPECT_EQ(cache.Find(std::span(tokens).first(2 * kPageTokens + 1)).size(), 2U);
  cache.MakeRoom(12);
  EXPECT_EQ(pool.n_free(), 12U);
}

}  // namespace
}  // namespace quern
