// Typed look-ups of metadata: the types a key may have, the range its value must fit, and what to
// say otherwise.
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "gguf/base/printable.h"
#include "gguf/gguf_file.h"

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

/// The array under `key` when `is_wanted` takes its element type; `expected` says in messages what
/// that stands for.
template <typename IsWanted>
Result<const MetaArray*> GetArray(const GgufFile& file, std::string_view key, IsWanted is_wanted,
                                  std::string_view expected) {
  Result<const MetaValue*> value = Require(file, key);
  if (!value) return Propagate(value);
  const auto* array = std::get_if<MetaArray>(&(*value)->value);
  if (array == nullptr || !is_wanted(array->element_type)) {
    return WrongType(file, key, **value, expected);
  }
  if (WidthOf(array->element_type) != 0 && array->size() > kMaxNumbers) {
    return Fail(ErrorCode::kUnsupported, "{}: key {}: {} elements, expected at most {}",
                Printable(file.name(), file.name().size()), Quoted(key), array->size(),
                kMaxNumbers);
  }
  return array;
}

bool IsInteger(MetaType type) {
  return WidthOf(type) != 0 && type != MetaType::kBool && type != MetaType::kFloat32 &&
         type != MetaType::kFloat64;
}
bool IsFloat(MetaType type) { return type == MetaType::kFloat32 || type == MetaType::kFloat64; }
bool IsString(MetaType type) { return type == MetaType::kString; }

}  // namespace

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
  Result<const MetaArray*> array = GetArray(*this, key, IsString, "array of string");
  if (!array) return Propagate(array);
  return std::span(std::get<std::vector<std::string_view>>((*array)->elements));
}

Result<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  Result<const MetaArray*> array = GetArray(*this, key, IsInteger, "array of integers");
  if (!array) return Propagate(array);
  std::vector<int64_t> ints((*array)->size());
  for (size_t i = 0; i < ints.size(); ++i) {
    const MetaNumber number = (*array)->number(i);
    if (const auto* held = std::get_if<int64_t>(&number)) {
      ints[i] = *held;
      continue;
    }
    const auto unsigned_number = std::get<uint64_t>(number);
    if (unsigned_number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Bad(*this, key,
                 fmt::format("value {} at index {}, expected at most 2^63-1", unsigned_number, i));
    }
    ints[i] = static_cast<int64_t>(unsigned_number);
  }
  return ints;
}

Result<std::vector<double>> GgufFile::GetFloats(std::string_view key) const {
  Result<const MetaArray*> array = GetArray(*this, key, IsFloat, "array of floats");
  if (!array) return Propagate(array);
  std::vector<double> floats((*array)->size());
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = std::get<double>((*array)->number(i));
  return floats;
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
