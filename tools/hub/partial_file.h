// A file on its way: PATH.partial, whose bytes come in any order, and PATH.partial.json, which says
// what is there, so that a later process can go on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "gguf/base/result.h"
#include "tools/hub/byte_ranges.h"

namespace quern {

/// What tells contents apart: bytes of two downloads belong together when it is the same. That is
/// the hash where there is one, else the ETag.
struct FileIdentity {
  uint64_t size = 0;
  std::string sha256;  ///< empty: unknown
  std::string etag;    ///< empty: unknown
};

/// May be used by several threads at once.
class PartialFile {
 public:
  /// Goes on with what an earlier process left of the same contents, else begins anew. Errors: kIo.
  static Result<PartialFile> Open(const std::string& path, const FileIdentity& identity);

  PartialFile(PartialFile&&) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  /// Leaves the file for another time.
  ~PartialFile();

  /// Error: kIo, with what a full disk keeps.
  Status Write(uint64_t offset, std::span<const std::byte> bytes);

  uint64_t n_done() const;
  std::vector<ByteRange> Missing(uint64_t piece_bytes) const;
  const std::string& partial_path() const;

  /// Gives the file its name, once it is on the disk. Nothing may be written afterwards.
  Status Commit();
  /// Removes what is there.
  void Discard();

  /// Bytes that PATH.partial holds, and the size it shall have; zeros when there is nothing.
  struct Extent {
    uint64_t n_done = 0;
    uint64_t size = 0;
  };
  static Extent ExtentAt(const std::string& path);
  /// Removes what was left of `path`. Whether there was something.
  static bool RemoveAt(const std::string& path);

 private:
  struct Impl;
  explicit PartialFile(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
