// Whether another user can read or change a file, as far as modes tell.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

class FileReader {
 public:
  /// Owns nothing, and is in no group.
  static FileReader Stranger() { return {}; }
  /// Errors: kNotFound.
  static Result<FileReader> Named(const std::string& name);

  /// Whether the file's mode lets this user read it, and run it where `runs`. Access lists and
  /// special rights do not count.
  bool MayRead(const std::filesystem::path& file, bool runs) const;
  /// The first folder whose mode keeps this user from what lies in it, on the way to the file.
  std::optional<std::filesystem::path> ClosedFolder(const std::filesystem::path& file) const;

 private:
  /// `bits`: of rwx, all of which must be had.
  bool May(const std::filesystem::path& path, mode_t bits) const;

  std::optional<uid_t> user_;
  std::vector<gid_t> groups_;
};

/// The file, or the first folder on the way to it, that others than root can change.
std::optional<std::filesystem::path> ChangedByOthers(const std::filesystem::path& file);

}  // namespace quern
