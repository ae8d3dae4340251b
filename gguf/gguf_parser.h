// Parses the bytes of one GGUF file into metadata and tensors, checking every field against the
// bytes there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/meta_value.h"
#include "gguf/tensor_info.h"

namespace quern {

inline constexpr uint32_t kGgufMagic = 0x46554747;  ///< "GGUF", read as a little-endian number
inline constexpr uint32_t kGgufVersion = 3;  ///< the version written; 2 differs in no byte but this
inline constexpr uint32_t kDefaultAlignment = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";

/// Below the first, numbers in tensors would not be aligned; above the second, a file of a few
/// bytes would ask for gigabytes of padding when it is copied. Files in use have 32.
inline constexpr uint32_t kMinAlignment = 8;
inline constexpr uint32_t kMaxAlignment = 1 << 16;

constexpr bool IsValidAlignment(uint64_t alignment) {
  return alignment >= kMinAlignment && alignment <= kMaxAlignment &&
         (alignment & (alignment - 1)) == 0;
}

/// What one file holds; names, strings and tensor data are views of its bytes.
struct GgufContents {
  uint32_t version = 0;
  uint32_t alignment = kDefaultAlignment;
  std::vector<MetaEntry> metadata;
  std::vector<TensorInfo> tensors;
};

/// `name` stands for the file in messages. Takes memory of at most about 10 times the bytes of the
/// header, and at most 300 MB. Errors: kCorruptFile, and kUnsupported for an unknown tensor type or
/// more than two million keys, tensors, strings and arrays. Names may still repeat, which the index
/// over all files of a set finds.
Result<GgufContents> ParseGguf(std::span<const std::byte> bytes, std::string_view name);

}  // namespace quern
