// Qwen 3, dense: Llama's layers with each head of Q and K normed; heads need not share n_embd out.
#include "runtime/model/architecture.h"
#include "runtime/model/hparams.h"

namespace quern {

extern const Architecture kQwen3;
const Architecture kQwen3{
    .name = "qwen3",
    .tensors = DecoderTensors,
    .describe =
        [](HParamsReader&, HParams& hparams) {
          for (RopeTable& rope : hparams.ropes) rope.style = RopeStyle::kHalves;
          for (LayerSpec& layer : hparams.layers) layer.attention.qk_norm = QkNorm::kHead;
        },
};

}  // namespace quern
