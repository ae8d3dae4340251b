// A cursor over bytes of unknown worth: every read is checked against what remains.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace quern {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are copied as they lie");

/// Reads little-endian values one after the other; a read that does not fit returns nothing and
/// moves nothing.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  template <typename T>
  std::optional<T> Read() {
    static_assert(std::is_arithmetic_v<T>);
    if (remaining() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  /// A view of the next `count` bytes.
  std::optional<std::span<const std::byte>> ReadBytes(size_t count) {
    if (remaining() < count) return std::nullopt;
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }

  /// A length of 64 bits and as many bytes of text; a view of the bytes given.
  std::optional<std::string_view> ReadString() {
    const size_t start = position_;
    const auto length = Read<uint64_t>();
    if (!length || *length > remaining()) {
      position_ = start;
      return std::nullopt;
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, *length);
    position_ += *length;
    return text;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace quern
