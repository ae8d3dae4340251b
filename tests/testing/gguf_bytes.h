// Builds the bytes of GGUF files field by field, so that a test can break any of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace quern::testing {

/// Appends fields in the order of the calls; knows nothing of what a valid file is.
class GgufBytes {
 public:
  /// Magic, version and the two counts.
  GgufBytes& Header(uint64_t n_tensors, uint64_t n_keys, uint32_t version = 3) {
    return Raw("GGUF").Number(version).Number(n_tensors).Number(n_keys);
  }
  GgufBytes& String(std::string_view text) { return Number(uint64_t{text.size()}).Raw(text); }
  /// A key and the id of its type; the value follows.
  GgufBytes& Key(std::string_view key, uint32_t type) { return String(key).Number(type); }
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type,
                    uint64_t offset) {
    String(name).Number(static_cast<uint32_t>(shape.size()));
    for (const uint64_t dim : shape) Number(dim);
    return Number(type).Number(offset);
  }
  GgufBytes& PadTo(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  GgufBytes& Zeros(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  GgufBytes& Raw(std::string_view text) { return Copy(text.data(), text.size()); }
  template <typename T>
  GgufBytes& Number(T value) {
    return Copy(&value, sizeof(value));
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  GgufBytes& Copy(const void* source, size_t size) {
    const size_t begin = bytes_.size();
    bytes_.resize(begin + size);
    if (size != 0) std::memcpy(bytes_.data() + begin, source, size);
    return *this;
  }

  std::vector<std::byte> bytes_;
};

}  // namespace quern::testing
