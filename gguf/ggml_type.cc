#include "gguf/ggml_type.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "gguf/base/check.h"

namespace quern {
namespace {

struct TypeRow {
  GgmlType type;
  GgmlTypeTraits traits;
};

constexpr TypeRow kTypes[] = {
#define GGML_TYPE(enumerator, id, name, block_elements, block_bytes) \
  {GgmlType::enumerator, {name, block_elements, block_bytes}},
#include "gguf/ggml_types.inc"
#undef GGML_TYPE
};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

std::optional<GgmlType> GgmlTypeFromId(uint32_t id) {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint32_t>(row.type) == id) return row.type;
  }
  return std::nullopt;
}

std::optional<GgmlType> GgmlTypeFromName(std::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (EqualIgnoringCase(row.traits.name, name)) return row.type;
  }
  return std::nullopt;
}

GgmlType NewestGgmlType() { return std::end(kTypes)[-1].type; }

const GgmlTypeTraits& TraitsOf(GgmlType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row.traits;
  }
  CheckFailed("type is one of ggml_types.inc", __FILE__, __LINE__);
}

uint64_t RowBytes(GgmlType type, uint64_t n_cols) {
  const GgmlTypeTraits& traits = TraitsOf(type);
  QUERN_DCHECK(n_cols % traits.block_elements == 0);
  return n_cols / traits.block_elements * traits.block_bytes;
}

}  // namespace quern
