// Attention of query heads over one KV head's pages, in fixed splits that merge in order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

/// Tokens of a KV page. It is also the attention tile: one page-table look-up a tile.
inline constexpr size_t kPageTokens = 64;

/// Positions of one split. A split is walked page by page with online softmax, and splits merge in
/// order; both are fixed, so a query's result depends on its position and its sequence's K and V
/// alone, bit for bit.
inline constexpr size_t kSplitTokens = 512;

/// What the cache holds K and V as.
enum class KvType : uint8_t { kF16, kBF16, kF32 };

/// Bytes that one KV head takes in a page: K as [head_dim][kPageTokens], so that lane = position,
/// then V as [kPageTokens][head_dim], so that lane = element. A multiple of 64.
size_t KvHeadPageBytes(KvType type, size_t head_dim);

/// Rounds one token's K and V of one head to the cache type (nearest, ties to even) and writes them
/// at `slot` (0 to kPageTokens-1). Values beyond the type's largest finite one become that one: an
/// infinite K would make NaN of every later token's attention, a clamped one is only inexact.
void StoreKv(KvType type, const float* k, const float* v, size_t head_dim, size_t slot,
             std::byte* head_page);

/// Floats of a partial result of one query: [max, sum, acc[head_dim]], padded to a multiple of 16.
size_t AttentionStateFloats(size_t head_dim);

/// The queries of consecutive tokens of one sequence, for the query heads that share one KV head.
struct AttentionArgs {
  KvType type = KvType::kF16;
  size_t head_dim = 0;       ///< even
  float scale = 0;           ///< of the scores, usually 1/sqrt(head_dim)
  const float* q = nullptr;  ///< query of token t and head h at q + t * q_stride + h * head_dim
  size_t q_stride = 0;       ///< floats
  size_t n_tokens = 0;
  size_t n_heads = 0;         ///< query heads per KV head
  size_t first_position = 0;  ///< of token 0; token t sees positions 0 .. first_position + t
  const std::byte* const* pages = nullptr;  ///< page table of the sequence
  size_t page_offset = 0;  ///< bytes from a page's start to this layer's and head's share
};

/// Number of splits that a query at `position` has.
inline size_t SplitsAt(size_t position) { return position / kSplitTokens + 1; }

/// Computes split `split` for every query: state of (token t, head h) at states + (t * n_heads + h)
/// * AttentionStateFloats. Queries that do not reach the split get the empty state (max = -inf, sum
/// = 0, acc = 0). Slots that no query sees may hold any bits. No allocation, no threads, 16 KB of
/// stack.
void AttendSplit(const AttentionArgs& args, size_t split, float* states);

/// Folds `next` into `state`: the merge of two splits in order. Folding an empty `next` changes
/// nothing.
void MergeAttention(size_t head_dim, const float* next, float* state);

/// out[i] = acc[i] / sum.
void FinishAttention(size_t head_dim, const float* state, float* out);

}  // namespace quern
