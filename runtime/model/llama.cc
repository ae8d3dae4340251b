// Llama 2, 3, 3.1, 3.2, and the models that convert to the same architecture (Mistral, SmolLM,
// ...).
#include "runtime/model/architecture.h"

namespace quern {

extern const Architecture kLlama;
const Architecture kLlama{
    .name = "llama",
    // The converter permutes Q and K so that the two elements of a rotated pair are neighbours.
    .rope_style = RopeStyle::kAdjacent,
};

}  // namespace quern
