// The tensor types of GGUF files: identity, name and block size of each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace quern {

enum class GgmlType : uint32_t {
#define GGML_TYPE(enumerator, id, name, block_elements, block_bytes) enumerator = (id),
#include "gguf/ggml_types.inc"
#undef GGML_TYPE
};

/// Storage facts of one type: `block_elements` consecutive weights of a row take `block_bytes`
/// bytes.
struct GgmlTypeTraits {
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
};

/// The type with this id in a file, or nothing when the id is unknown.
std::optional<GgmlType> GgmlTypeFromId(uint32_t id);

/// The type with this name ("Q4_K", any case), or nothing.
std::optional<GgmlType> GgmlTypeFromName(std::string_view name);

/// The type with the highest id.
GgmlType NewestGgmlType();

const GgmlTypeTraits& TraitsOf(GgmlType type);

inline std::string_view NameOf(GgmlType type) { return TraitsOf(type).name; }

/// Bytes of a row of `n_cols` weights; `n_cols` is a multiple of the block size.
uint64_t RowBytes(GgmlType type, uint64_t n_cols);

}  // namespace quern
