// A family of decoders: how its layers are described from metadata, and which tensors its files
// have.
#pragma once

#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/model/tensor_table.h"

namespace quern {

class HParamsReader;
struct HParams;

struct Architecture {
  std::string_view name;  ///< general.architecture, also the prefix of its metadata keys

  /// What its files hold.
  TensorTable (*tensors)();

  /// Changes what is not as in a Llama: `hparams` comes with what the common keys say, every layer
  /// a Llama's. Reads further keys by `reader`, whose errors stick.
  void (*describe)(HParamsReader& reader, HParams& hparams);
};

/// Those that Quern runs, in the order of architectures.inc.
const std::vector<const Architecture*>& Architectures();

}  // namespace quern
