// A regular file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// Owns one mapping. Movable; an object moved from maps nothing. A file that becomes shorter while
/// it is mapped ends the process with a message when what it lost is read (mapping_watch.h).
class MappedFile {
 public:
  /// Errors: kNotFound without the file, kIo when it cannot be read, kCorruptFile when it is empty
  /// or no regular file.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  bool Contains(std::span<const std::byte> bytes) const;

  /// Asks the kernel to start reading the pages that `bytes` touches.
  void WillNeed(std::span<const std::byte> bytes) const;
  /// Gives up the resident pages wholly inside `bytes`; a later access reads them from the file
  /// again.
  void DropPages(std::span<const std::byte> bytes) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace quern
