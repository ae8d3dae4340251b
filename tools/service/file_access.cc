#include "tools/service/file_access.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>

namespace quern {
namespace {

constexpr mode_t kRead = 4;
constexpr mode_t kRun = 1;  // of a folder: to reach what is in it

}  // namespace

Result<FileReader> FileReader::Named(const std::string& name) {
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) return Fail(ErrorCode::kNotFound, "there is no user '{}'", name);
  FileReader reader;
  reader.user_ = entry->pw_uid;
  const gid_t group = entry->pw_gid;
  int n = 0;
  getgrouplist(name.c_str(), group, nullptr, &n);
  reader.groups_.resize(static_cast<size_t>(n));
  getgrouplist(name.c_str(), group, reader.groups_.data(), &n);
  return reader;
}

bool FileReader::MayRead(const std::filesystem::path& file, bool runs) const {
  return May(file, runs ? kRead | kRun : kRead);
}

std::optional<std::filesystem::path> FileReader::ClosedFolder(
    const std::filesystem::path& file) const {
  // A link has folders on its own way and on that of what it names.
  std::error_code error;
  for (const std::filesystem::path& way : {file, std::filesystem::canonical(file, error)}) {
    std::filesystem::path folder;
    for (const std::filesystem::path& part : way.parent_path()) {
      folder /= part;
      if (!May(folder, kRun)) return folder;
    }
  }
  return std::nullopt;
}

bool FileReader::May(const std::filesystem::path& path, mode_t bits) const {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return false;
  const bool is_in_group = std::find(groups_.begin(), groups_.end(), info.st_gid) != groups_.end();
  const unsigned shift = user_ == info.st_uid ? 6 : is_in_group ? 3 : 0;
  return (info.st_mode >> shift & bits) == bits;
}

std::optional<std::filesystem::path> ChangedByOthers(const std::filesystem::path& file) {
  std::filesystem::path way;
  std::error_code error;
  for (const std::filesystem::path& part : std::filesystem::canonical(file, error)) {
    way /= part;
    struct stat info = {};
    if (stat(way.c_str(), &info) != 0) continue;
    const bool by_group = (info.st_mode & S_IWGRP) != 0 && info.st_gid != 0;
    // In a folder such as /tmp nobody replaces what is another's.
    const bool by_all = (info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0;
    if (info.st_uid != 0 || by_group || by_all) return way;
  }
  return std::nullopt;
}

}  // namespace quern
