#include "tools/hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

/// Whoever held the lock before removed the file that was waited for: a lock on it binds nobody.
bool IsStillAt(const std::string& path, int fd) {
  struct stat of_path {};
  struct stat of_fd {};
  return stat(path.c_str(), &of_path) == 0 && fstat(fd, &of_fd) == 0 &&
         of_path.st_dev == of_fd.st_dev && of_path.st_ino == of_fd.st_ino;
}

}  // namespace

Result<std::optional<FileLock>> FileLock::TryAcquire(const std::string& path) {
  for (;;) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) break;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      FileLock lock(path, fd);
      if (IsStillAt(path, fd)) return std::optional<FileLock>(std::move(lock));
      close(std::exchange(lock.fd_, -1));
      continue;
    }
    const int error_number = errno;
    close(fd);
    if (error_number == EWOULDBLOCK) return std::optional<FileLock>();
    errno = error_number;
    if (error_number != EINTR) break;
  }
  return Fail(ErrorCode::kIo, "{}: cannot lock: {}", Printable(path, path.size()),
              std::strerror(errno));
}

Result<FileLock> FileLock::Acquire(const std::string& path, const std::function<void()>& on_wait) {
  bool has_waited = false;
  for (;;) {
    Result<std::optional<FileLock>> lock = TryAcquire(path);
    if (!lock) return Propagate(lock);
    if (*lock) return std::move(**lock);
    if (!std::exchange(has_waited, true) && on_wait) on_wait();
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;  // it is gone, so there is nothing to wait for
    flock(fd, LOCK_EX);
    close(fd);
  }
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  unlink(path_.c_str());  // before the lock is given up, after which it may be another's
  close(fd_);
}

}  // namespace quern
