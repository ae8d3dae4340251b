// Qwen 1.5, 2 and 2.5: Llama's layers with biases of Q, K and V.
#include "runtime/model/architecture.h"
#include "runtime/model/hparams.h"

namespace quern {

extern const Architecture kQwen2;
const Architecture kQwen2{
    .name = "qwen2",
    .tensors =
        [] {
          return DecoderTensors().With({{TensorRole::kAttnQBias, Extent::kQ},
                                        {TensorRole::kAttnKBias, Extent::kK},
                                        {TensorRole::kAttnVBias, Extent::kV}});
        },
    .describe =
        [](HParamsReader&, HParams& hparams) {
          for (RopeTable& rope : hparams.ropes) rope.style = RopeStyle::kHalves;
        },
};

}  // namespace quern
