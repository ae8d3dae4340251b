#include "runtime/model/kv_layout.h"

#include <algorithm>

#include "runtime/model/hparams.h"

namespace quern {

KvLayout KvLayout::Of(const HParams& hparams) {
  KvLayout layout;
  for (const LayerSpec& layer : hparams.layers) {
    const AttentionSpec& attention = layer.attention;
    const auto same = std::ranges::find_if(layout.groups, [&](const KvGroup& group) {
      return group.n_head_kv == attention.n_head_kv && group.head_dim == attention.k_dim &&
             group.window == attention.window;
    });
    const auto index = static_cast<size_t>(same - layout.groups.begin());
    if (same == layout.groups.end()) {
      layout.groups.push_back({.n_head_kv = attention.n_head_kv,
                               .head_dim = attention.k_dim,
                               .window = attention.window});
    }
    layout.places.push_back({.group = index, .layer = layout.groups[index].n_layers++});
  }
  return layout;
}

}  // namespace quern
