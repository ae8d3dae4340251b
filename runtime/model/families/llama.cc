// Llama 2, 3, 3.1, 3.2, and the models that convert to the same architecture (Mistral, SmolLM,
// ...).
#include "runtime/model/architecture.h"
#include "runtime/model/hparams.h"

namespace quern {

extern const Architecture kLlama;
const Architecture kLlama{
    .name = "llama",
    .tensors = DecoderTensors,
    // The converter permutes Q and K so that the two elements of a rotated pair are neighbours.
    .describe =
        [](HParamsReader&, HParams& hparams) {
          for (RopeTable& rope : hparams.ropes) rope.style = RopeStyle::kAdjacent;
        },
};

}  // namespace quern
