// A file that appears whole or not at all: bytes go to a file without a name, which Commit gives
// it.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// Sequential writes, gathered into large ones. A failed or forgotten file leaves nothing behind,
/// nor does a process that is killed; but where the file system has no files without names, that
/// one leaves NAME.PID-N.part. A file that replaces another is as readable as that was.
class OutputFile {
 public:
  /// Reserves `expected_bytes` on the disk where its file system can, so that a full disk shows
  /// before the work. Errors: kInvalidArgument when `path` names something else than a regular
  /// file, kIo for the rest.
  static Result<OutputFile> Create(const std::string& path, uint64_t expected_bytes);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  Status Write(std::span<const std::byte> bytes);
  /// Writes what is left and gives the file its name. A file that it replaces stays until the new
  /// one is on the disk, even when the machine stops. Nothing may be written afterwards.
  Status Commit();

 private:
  OutputFile(std::string path, std::string temporary_path, int fd);

  static Result<OutputFile> CreateNamed(const std::string& path);

  void TakeRightsOf(const struct stat& existing) const;
  Status Reserve(uint64_t bytes);
  Status WriteThrough(std::span<const std::byte> bytes);
  Status Flush();
  Status Publish();
  void SyncFolder() const;
  tl::unexpected<Error> SystemError(int error_number) const;
  void Discard();

  std::string path_;
  std::string temporary_path_;  ///< empty while the file has no name
  int fd_;
  std::vector<std::byte> buffer_;
};

}  // namespace quern
