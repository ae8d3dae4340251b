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

/// What the cache holds K or V as. kQ8, GGUF's Q8_0: an int8 for each element and a half float,
/// their scale, for each block of kKvBlock elements of a token.
enum class KvType : uint8_t { kF16, kBF16, kF32, kQ8 };

/// Elements of a token's K or V that share a scale; a head's last block may be shorter.
inline constexpr size_t kKvBlock = 32;

/// The types of K and of V.
struct KvTypes {
  KvTypes() = default;
  KvTypes(KvType both) : k(both), v(both) {}  // NOLINT(google-explicit-constructor): one for both
  KvTypes(KvType of_k, KvType of_v) : k(of_k), v(of_v) {}
  bool operator==(const KvTypes&) const = default;
  KvType k = KvType::kF16;
  KvType v = KvType::kF16;
};

/// Bytes that K or V of one head takes in a page. A multiple of 64.
size_t KvSideBytes(KvType type, size_t head_dim);

/// Bytes that one KV head takes in a page: K as [head_dim][kPageTokens], so that lane = position,
/// then V as [kPageTokens][head_dim], so that lane = element. Scales follow their elements, K's as
/// [block][kPageTokens], V's as [kPageTokens][block].
size_t KvHeadPageBytes(KvTypes types, size_t head_dim);

/// Rounds one token's K of one head to the cache type (nearest, ties to even) and writes it at
/// `slot` (0 to kPageTokens-1). Values beyond the type's largest finite one become that one: an
/// infinite K would make NaN of every later token's attention, a clamped one is only inexact. A NaN
/// makes NaN of its block.
void StoreK(KvTypes types, const float* k, size_t head_dim, size_t slot, std::byte* head_page);

/// The same for V.
void StoreV(KvTypes types, const float* v, size_t head_dim, size_t slot, std::byte* head_page);

/// Floats of a partial result of one query: [max, sum, acc[head_dim]], padded to a multiple of 16.
size_t AttentionStateFloats(size_t head_dim);

/// The queries of consecutive tokens of one sequence, for the query heads that share one KV head.
struct AttentionArgs {
  KvTypes types;
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
