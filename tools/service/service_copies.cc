#include "tools/service/service_copies.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"

namespace quern {
namespace {

/// The folder, held open: its name cannot come to mean another one.
class ServiceFolder {
 public:
  static Result<ServiceFolder> Open(const std::string& path) {
    ServiceFolder folder(path);
    folder.fd_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder.fd_ < 0 || fstat(folder.fd_, &folder.info_) != 0) {
      return Fail(ErrorCode::kIo, "cannot open the folder {}: {}", Quoted(path),
                  std::strerror(errno));
    }
    return folder;
  }
  ServiceFolder(ServiceFolder&& other) noexcept
      : path_(std::move(other.path_)), info_(other.info_), fd_(std::exchange(other.fd_, -1)) {}
  ServiceFolder& operator=(ServiceFolder&&) = delete;
  ~ServiceFolder() {
    if (fd_ >= 0) close(fd_);
  }

  /// A file of its own, whatever had the name before.
  Status Write(const std::string& name, std::string_view text) const {
    Remove(name);
    const int fd = openat(fd_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    bool is_done = fd >= 0 && fchown(fd, info_.st_uid, info_.st_gid) == 0;
    while (is_done && !text.empty()) {
      const ssize_t n = write(fd, text.data(), text.size());
      is_done = n > 0 || (n < 0 && errno == EINTR);
      if (n > 0) text.remove_prefix(static_cast<size_t>(n));
    }
    const int error = errno;
    if (fd >= 0 && close(fd) == 0 && is_done) return {};
    return Failed(name, error);
  }

  Status Rename(const std::string& from, const std::string& to) const {
    if (renameat(fd_, from.c_str(), fd_, to.c_str()) == 0) return {};
    return Failed(to, errno);
  }

  void Remove(const std::string& name) const { unlinkat(fd_, name.c_str(), 0); }

 private:
  explicit ServiceFolder(std::string path) : path_(std::move(path)) {}

  Status Failed(const std::string& name, int error) const {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", Quoted(path_ + "/" + name),
                std::strerror(error));
  }

  std::string path_;
  struct stat info_ = {};
  int fd_ = -1;
};

std::string NewName(const ServiceFile& file) { return file.name + ".new"; }

Status WriteAll(const std::vector<ServiceFile>& files, const ServiceFolder& folder) {
  for (const ServiceFile& file : files) {
    Result<std::string> text = ReadText(file.path);
    if (!text) return Propagate(text);
    if (Status status = folder.Write(NewName(file), *text); !status) return status;
  }
  return {};
}

}  // namespace

Status CopyForService(const std::vector<ServiceFile>& files, const std::string& folder) {
  Result<ServiceFolder> opened = ServiceFolder::Open(folder);
  if (!opened) return Propagate(opened);
  if (Status status = WriteAll(files, *opened); !status) {
    for (const ServiceFile& file : files) opened->Remove(NewName(file));
    return status;
  }
  for (const ServiceFile& file : files) {
    if (Status status = opened->Rename(NewName(file), file.name); !status) return status;
  }
  return {};
}

}  // namespace quern
