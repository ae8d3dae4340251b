// Which layers keep their K and V together: groups of equal shape and visibility, a page table
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace quern {

struct HParams;

/// Layers whose pages look alike and may be given back at the same time.
struct KvGroup {
  uint32_t n_head_kv = 0;
  uint32_t head_dim = 0;
  uint32_t window = 0;  ///< as AttentionSpec's; 0: pages are needed as long as the sequence
  size_t n_layers = 0;

  /// Bytes of one page: K and V of all layers and KV heads for kPageTokens tokens.
  size_t page_bytes(KvTypes types) const {
    return n_layers * n_head_kv * KvHeadPageBytes(types, head_dim);
  }
  /// Bytes from a page's start to the share of one KV head of a layer, counted within the group.
  size_t Offset(KvTypes types, size_t layer, size_t head_kv) const {
    return (layer * n_head_kv + head_kv) * KvHeadPageBytes(types, head_dim);
  }
  /// The first page that rows from position `n_past` on see.
  size_t FirstNeeded(size_t n_past) const {
    return window == 0 || n_past < window ? 0 : (n_past + 1 - window) / kPageTokens;
  }
};

struct KvLayout {
  static KvLayout Of(const HParams& hparams);

  /// Where a layer's K and V are.
  struct Place {
    size_t group;
    size_t layer;  ///< within the group
  };

  std::vector<KvGroup> groups;
  std::vector<Place> places;  ///< of each layer
};

}  // namespace quern
