#include "runtime/model/architecture.h"

namespace quern {

#define ARCHITECTURE(constant) extern const Architecture constant;
#include "runtime/model/architectures.inc"
#undef ARCHITECTURE

const std::vector<const Architecture*>& Architectures() {
  static const std::vector<const Architecture*> kAll = {
#define ARCHITECTURE(constant) &constant,
#include "runtime/model/architectures.inc"
#undef ARCHITECTURE
  };
  return kAll;
}

}  // namespace quern
