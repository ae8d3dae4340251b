// Reader of GGUF files (v2 and v3, little endian, split or whole): metadata and tensors as views of
// mapped bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/meta_value.h"
#include "gguf/tensor_info.h"  // IWYU pragma: export

namespace quern {

/// Elements that a numeric array may have to be copied out; the largest vocabularies have fewer.
inline constexpr size_t kMaxNumbers = 1 << 21;

/// A GGUF file or split set. Immutable; copies share it, and all views live as long as one does.
/// Every count, length, offset, shape, type and alignment was checked against the file's size.
class GgufFile {
 public:
  /// Maps `path`; the first file of a split set (`-00001-of-0000N.gguf`) opens the whole set.
  static Result<GgufFile> Open(const std::string& path);

  /// Reads from memory that outlives the object and starts at a multiple of 8, `name` standing for
  /// the path in messages.
  static Result<GgufFile> FromMemory(std::span<const std::byte> bytes, std::string name);

  /// Path or given name, for messages.
  const std::string& name() const;
  uint32_t version() const;
  uint32_t alignment() const;
  /// Bytes of all files of the set.
  uint64_t file_bytes() const;

  /// In file order; of a split set, the first file's.
  std::span<const MetaEntry> metadata() const;
  std::span<const TensorInfo> tensors() const;

  const MetaValue* Find(std::string_view key) const;
  const TensorInfo* FindTensor(std::string_view name) const;

  /// Typed look-ups. Errors: kNotFound without the key, kCorruptFile when its type or range does
  /// not fit.
  Result<uint64_t> GetUint(std::string_view key) const;
  Result<double> GetFloat(std::string_view key) const;
  Result<bool> GetBool(std::string_view key) const;
  Result<std::string_view> GetString(std::string_view key) const;
  Result<std::span<const std::string_view>> GetStrings(std::string_view key) const;
  /// Any integer or float array, of at most kMaxNumbers elements (else kUnsupported), widened.
  Result<std::vector<int64_t>> GetInts(std::string_view key) const;
  Result<std::vector<double>> GetFloats(std::string_view key) const;

  /// As above with a default for a missing key; a key of the wrong type stays an error.
  Result<uint64_t> GetUintOr(std::string_view key, uint64_t fallback) const;
  Result<double> GetFloatOr(std::string_view key, double fallback) const;
  Result<bool> GetBoolOr(std::string_view key, bool fallback) const;
  Result<std::string_view> GetStringOr(std::string_view key, std::string_view fallback) const;

  /// Lets the kernel drop the resident pages wholly inside `bytes` (after a tensor was packed
  /// elsewhere).
  void DropPages(std::span<const std::byte> bytes) const;

 private:
  struct Impl;
  explicit GgufFile(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace quern
