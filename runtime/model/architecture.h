// What sets one decoder architecture apart from another: data that the loader and the forward pass
// read.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/ops.h"

namespace quern {

/// A decoder of the Llama family: pre-norm attention with GQA and RoPE, then a gated feed-forward
/// block.
struct Architecture {
  std::string_view name;  ///< general.architecture, also the prefix of its metadata keys
  RopeStyle rope_style;
};

/// Architectures that Quern runs, in the order of architectures.inc.
const std::vector<const Architecture*>& Architectures();

/// Null when no architecture has this name.
const Architecture* FindArchitecture(std::string_view name);

}  // namespace quern
