// All KV-cache memory of an engine: for each group of layers, pages of kPageTokens tokens.
#pragma once

#include <cstddef>
#include <vector>

#include "gguf/base/result.h"
#include "kernels/attention.h"
#include "runtime/forward/page_pool.h"
#include "runtime/model/hparams.h"
#include "runtime/model/kv_layout.h"

namespace quern {

inline size_t PagesFor(size_t n_tokens) {
  return n_tokens / kPageTokens + (n_tokens % kPageTokens == 0 ? 0 : 1);
}

/// One page of each group, for the same kPageTokens positions; kNoPage where a group's was given
/// back since its window has gone on.
using PageSet = std::vector<PageId>;

/// A page of a group holds K and V of its layers and KV heads for its tokens. Groups have equally
/// many pages.
class KvPool {
 public:
  /// Errors: kOutOfMemory with the bytes that were asked for.
  static Result<KvPool> Create(const HParams& hparams, KvTypes types, size_t n_pages);

  KvTypes types() const { return types_; }
  const KvLayout& layout() const { return layout_; }
  size_t n_groups() const { return groups_.size(); }
  PagePool& group(size_t group) { return groups_[group]; }
  const PagePool& group(size_t group) const { return groups_[group]; }

  size_t n_pages() const { return groups_.front().n_pages(); }
  /// Pages that every group can give.
  size_t n_free() const;
  /// Bytes of a page of each group.
  size_t page_bytes() const;

  void AddReference(const PageSet& pages);
  void Release(const PageSet& pages);
  /// Whether nobody but the caller, who has a reference to each, uses any of these pages.
  bool IsUnshared(const PageSet& pages) const;

  size_t GroupOf(size_t layer) const { return layout_.places[layer].group; }
  /// Bytes from the start of a page of the layer's group to the share of one KV head of the layer.
  size_t Offset(size_t layer, size_t head_kv) const {
    const KvLayout::Place& place = layout_.places[layer];
    return layout_.groups[place.group].Offset(types_, place.layer, head_kv);
  }

 private:
  KvPool(KvTypes types, KvLayout layout) : types_(types), layout_(std::move(layout)) {}
  KvTypes types_;
  KvLayout layout_;
  std::vector<PagePool> groups_;
};

}  // namespace quern
