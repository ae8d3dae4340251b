#include "gguf/meta_value.h"

#include <cstring>
#include <type_traits>

#include "gguf/base/check.h"

namespace quern {
namespace {

/// The number of type T at `at`, as `Wide`.
template <typename T, typename Wide>
MetaNumber Load(const std::byte* at) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= sizeof(Wide));
  T number;
  std::memcpy(&number, at, sizeof(T));
  return static_cast<Wide>(number);
}

}  // namespace

std::string_view NameOf(MetaType type) {
  constexpr std::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                         "int32",  "float32", "bool",   "string", "array",
                                         "uint64", "int64",   "float64"};
  return kNames[static_cast<uint32_t>(type)];
}

size_t WidthOf(MetaType type) {
  constexpr size_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kWidths[static_cast<uint32_t>(type)];
}

MetaNumber LoadNumber(MetaType type, const std::byte* at) {
  switch (type) {
    case MetaType::kUint8:
      return Load<uint8_t, uint64_t>(at);
    case MetaType::kInt8:
      return Load<int8_t, int64_t>(at);
    case MetaType::kUint16:
      return Load<uint16_t, uint64_t>(at);
    case MetaType::kInt16:
      return Load<int16_t, int64_t>(at);
    case MetaType::kUint32:
      return Load<uint32_t, uint64_t>(at);
    case MetaType::kInt32:
      return Load<int32_t, int64_t>(at);
    case MetaType::kUint64:
      return Load<uint64_t, uint64_t>(at);
    case MetaType::kInt64:
      return Load<int64_t, int64_t>(at);
    case MetaType::kFloat32:
      return Load<float, double>(at);
    case MetaType::kFloat64:
      return Load<double, double>(at);
    case MetaType::kBool:
      return *at != std::byte{0};
    case MetaType::kString:
    case MetaType::kArray:
      break;
  }
  QUERN_DCHECK(!"a number");
  return uint64_t{0};
}

size_t MetaArray::size() const {
  if (const auto* numbers = std::get_if<std::span<const std::byte>>(&elements)) {
    return numbers->size() / WidthOf(element_type);
  }
  if (const auto* strings = std::get_if<std::vector<std::string_view>>(&elements)) {
    return strings->size();
  }
  return std::get<std::vector<MetaArray>>(elements).size();
}

MetaNumber MetaArray::number(size_t i) const {
  const auto bytes = std::get<std::span<const std::byte>>(elements);
  QUERN_DCHECK(i < size());
  return LoadNumber(element_type, bytes.data() + i * WidthOf(element_type));
}

}  // namespace quern
