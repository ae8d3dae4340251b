// Values of GGUF metadata: their types, and what a file holds under a key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

namespace quern {

/// Value types, numbered as in the file.
enum class MetaType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
std::string_view NameOf(MetaType type);

/// Bytes of a number or bool of this type in a file; 0 for strings and arrays.
size_t WidthOf(MetaType type);

/// A number or bool, widened to 64 bits.
using MetaNumber = std::variant<uint64_t, int64_t, double, bool>;

/// The number or bool of this type that lies at `at`, which need not be aligned.
MetaNumber LoadNumber(MetaType type, const std::byte* at);

/// An array value. Numbers and bools stay the bytes of the file, since widened they could take
/// eight times its size; strings are views of it; arrays may nest.
struct MetaArray {
  MetaType element_type;
  std::variant<std::span<const std::byte>, std::vector<std::string_view>, std::vector<MetaArray>>
      elements;

  size_t size() const;
  /// Element `i` of an array of numbers or bools.
  MetaNumber number(size_t i) const;
};

/// One metadata value with its type in the file; numbers are held widened to 64 bits.
struct MetaValue {
  MetaType type;
  std::variant<uint64_t, int64_t, double, bool, std::string_view, MetaArray> value;
};

struct MetaEntry {
  std::string_view key;
  MetaValue value;
};

}  // namespace quern
