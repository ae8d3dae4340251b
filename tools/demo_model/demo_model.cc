#include "tools/demo_model/demo_model.h"

// Defined in demo_model_data.S.
extern "C" {
extern const std::byte quern_demo_model_begin[];
extern const std::byte quern_demo_model_end[];
}

namespace quern {

std::span<const std::byte> DemoModelBytes() {
  return {quern_demo_model_begin, quern_demo_model_end};
}

}  // namespace quern
