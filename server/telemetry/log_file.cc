#include "server/telemetry/log_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace quern {
namespace {

Result<int> OpenToAppend(const std::string& path) {
  // Without O_NONBLOCK the opening of a FIFO would wait for a reader.
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd >= 0) return fd;
  return Fail(ErrorCode::kIo, "cannot open the log file {}: {}", path, std::strerror(errno));
}

}  // namespace

Result<std::unique_ptr<LogFile>> LogFile::Open(std::string path) {
  int descriptor = STDERR_FILENO;
  if (!path.empty()) {
    Result<int> opened = OpenToAppend(path);
    if (!opened) return Propagate(opened);
    descriptor = *opened;
  }
  return std::unique_ptr<LogFile>(new LogFile(std::move(path), descriptor));
}

LogFile::~LogFile() {
  if (!path_.empty()) close(descriptor_);
}

uint64_t LogFile::Size() const {
  struct stat status {};
  return fstat(descriptor_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

Status LogFile::Reopen() {
  if (path_.empty()) return {};
  const std::lock_guard lock(mutex_);
  Result<int> opened = OpenToAppend(path_);
  if (!opened) return Propagate(opened);
  const int done = dup3(*opened, descriptor_, O_CLOEXEC);
  close(*opened);
  if (done >= 0) return {};
  return Fail(ErrorCode::kIo, "cannot open the log file {} again: {}", path_, std::strerror(errno));
}

Status LogFile::SetAside(size_t n_kept) {
  if (path_.empty()) return {};
  {
    const std::lock_guard lock(mutex_);
    const auto name = [&](size_t n) { return n == 0 ? path_ : fmt::format("{}.{}", path_, n); };
    for (size_t n = n_kept; n > 0; --n) {
      if (std::rename(name(n - 1).c_str(), name(n).c_str()) != 0 && errno != ENOENT) {
        return Fail(ErrorCode::kIo, "cannot rename the log file {}: {}", name(n - 1),
                    std::strerror(errno));
      }
    }
  }
  return Reopen();
}

}  // namespace quern
