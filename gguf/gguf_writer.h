// Writer of GGUF v3 files: metadata and tensor list first, then each tensor's bytes in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"

namespace quern {

/// Use: set metadata and add tensors, Open, Write each tensor in the order added, Finish.
/// The file appears under its name only at Finish; before that a temporary beside it holds the
/// bytes, and it is removed when the writer goes away unfinished.
class GgufWriter {
 public:
  GgufWriter();
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  /// Sets a key; a second call with the same key replaces the value in place.
  void SetUint32(std::string_view key, uint32_t value);
  void SetInt32(std::string_view key, int32_t value);
  void SetUint64(std::string_view key, uint64_t value);
  void SetFloat32(std::string_view key, float value);
  void SetBool(std::string_view key, bool value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, std::span<const std::string> values);
  void SetInt32s(std::string_view key, std::span<const int32_t> values);
  void SetFloat32s(std::string_view key, std::span<const float> values);
  /// Copies a value read from another file, with its exact type.
  void SetValue(std::string_view key, const MetaValue& value);
  void Remove(std::string_view key);

  /// `shape` as in TensorInfo: row length first, at most 4 dimensions; none for a scalar.
  void AddTensor(std::string_view name, GgmlType type, std::span<const uint64_t> shape);

  Status Open(const std::string& path);
  /// Bytes of the next tensor, whole or in consecutive pieces.
  Status Write(std::span<const std::byte> bytes);
  /// Errors when fewer bytes were written than the tensors need.
  Status Finish();

  /// Header, metadata and tensor infos as they will stand in the file, padded to the alignment.
  std::vector<std::byte> Header() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
