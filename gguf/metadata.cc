// Typed look-ups of metadata: the types a key may have, the range its value must fit, and what to
// say otherwise.
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "gguf/gguf_file.h"
#include "gguf/printable.h"

namespace quern {
namespace {

std::string Describe(const MetaValue& value) {
  if (const auto* array = std::get_if<MetaArray>(&value.value)) {
    return fmt::format("array of {}", NameOf(array->element_type));
  }
  return std::string(NameOf(value.type));
}

tl::unexpected<Error> Bad(const GgufFile& file, std::string_view key, std::string_view problem) {
  return Fail(ErrorCode::kCorruptFile, "{}: key {}: {}", Printable(file.name(), file.name().size()),
              Quoted(key), problem);
}

tl::unexpected<Error> WrongType(const GgufFile& file, std::string_view key, const MetaValue& value,
                                std::string_view expected) {
  return Bad(file, key, fmt::format("type {}, expected {}", Describe(value), expected));
}

Result<const MetaValue*> Require(const GgufFile& file, std::string_view key) {
  if (const MetaValue* value = file.Find(key)) return value;
  return Fail(ErrorCode::kNotFound, "{}: key {}: missing",
              Printable(file.name(), file.name().size()), Quoted(key));
}

/// A copy of the value held as T; `expected` says in messages what T stands for.
template <typename T>
Result<T> GetAs(const GgufFile& file, std::string_view key, std::string_view expected) {
  Result<const MetaValue*> value = Require(file, key);
  if (!value) return Propagate(value);
  const T* held = std::get_if<T>(&(*value)->value);
  if (held == nullptr) return WrongType(file, key, **value, expected);
  return *held;
}

/// An array's elements when they are held as T, else null.
template <typename T>
const std::vector<T>* ElementsOf(const MetaValue& value) {
  const auto* array = std::get_if<MetaArray>(&value.value);
  return array == nullptr ? nullptr : std::get_if<std::vector<T>>(&array->elements);
}

}  // namespace

std::string_view NameOf(MetaType type) {
  constexpr std::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                         "int32",  "float32", "bool",   "string", "array",
                                         "uint64", "int64",   "float64"};
  return kNames[static_cast<uint32_t>(type)];
}

size_t MetaArray::size() const {
  return std::visit([](const auto& values) { return values.size(); }, elements);
}

Result<uint64_t> GgufFile::GetUint(std::string_view key) const {
  Result<const MetaValue*> value = Require(*this, key);
  if (!value) return Propagate(value);
  if (const auto* held = std::get_if<uint64_t>(&(*value)->value)) return *held;
  const auto* held = std::get_if<int64_t>(&(*value)->value);
  if (held == nullptr) return WrongType(*this, key, **value, "an integer");
  if (*held < 0) return Bad(*this, key, fmt::format("value {}, expected 0 to 2^64-1", *held));
  return static_cast<uint64_t>(*held);
}

Result<double> GgufFile::GetFloat(std::string_view key) const {
  return GetAs<double>(*this, key, "a float");
}

Result<bool> GgufFile::GetBool(std::string_view key) const {
  return GetAs<bool>(*this, key, "bool");
}

Result<std::string_view> GgufFile::GetString(std::string_view key) const {
  return GetAs<std::string_view>(*this, key, "string");
}

Result<std::span<const std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  Result<const MetaValue*> value = Require(*this, key);
  if (!value) return Propagate(value);
  const auto* strings = ElementsOf<std::string_view>(**value);
  if (strings == nullptr) return WrongType(*this, key, **value, "array of string");
  return std::span<const std::string_view>(*strings);
}

Result<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  Result<const MetaValue*> value = Require(*this, key);
  if (!value) return Propagate(value);
  if (const auto* held = ElementsOf<int64_t>(**value)) return *held;
  const auto* held = ElementsOf<uint64_t>(**value);
  if (held == nullptr) return WrongType(*this, key, **value, "array of integers");
  std::vector<int64_t> ints;
  ints.reserve(held->size());
  for (const uint64_t number : *held) {
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Bad(*this, key,
                 fmt::format("value {} at index {}, expected at most 2^63-1", number, ints.size()));
    }
    ints.push_back(static_cast<int64_t>(number));
  }
  return ints;
}

Result<std::vector<double>> GgufFile::GetFloats(std::string_view key) const {
  Result<const MetaValue*> value = Require(*this, key);
  if (!value) return Propagate(value);
  const auto* held = ElementsOf<double>(**value);
  if (held == nullptr) return WrongType(*this, key, **value, "array of floats");
  return *held;
}

Result<uint64_t> GgufFile::GetUintOr(std::string_view key, uint64_t fallback) const {
  return Find(key) == nullptr ? Result<uint64_t>(fallback) : GetUint(key);
}

Result<double> GgufFile::GetFloatOr(std::string_view key, double fallback) const {
  return Find(key) == nullptr ? Result<double>(fallback) : GetFloat(key);
}

Result<bool> GgufFile::GetBoolOr(std::string_view key, bool fallback) const {
  return Find(key) == nullptr ? Result<bool>(fallback) : GetBool(key);
}

Result<std::string_view> GgufFile::GetStringOr(std::string_view key,
                                               std::string_view fallback) const {
  return Find(key) == nullptr ? Result<std::string_view>(fallback) : GetString(key);
}

}  // namespace quern
