#include "gguf/base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

// Writes of this size run at the speed of the disk; a pointer's worth of small tensors would not.
constexpr size_t kBufferBytes = 4 << 20;
constexpr int kMaxNames = 100;

std::string Shown(const std::string& path) { return Printable(path, path.size()); }

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return path.substr(0, slash + 1);
}

std::string TemporaryPath(const std::string& path, int number) {
  return fmt::format("{}.{}-{}.part", path, getpid(), number);
}

/// How the kernel lets a file without a name be linked into a folder.
std::string DescriptorPath(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

/// Reads `bytes`, as the kernel does in write(), which reports a fault as an error.
void Touch(std::span<const std::byte> bytes) {
  const volatile std::byte* at = bytes.data();
  for (size_t i = 0; i < bytes.size(); ++i) static_cast<void>(at[i]);
}

/// A new file in `folder` that has no name and goes away with its descriptor, or -1 where the
/// system has no such files.
int OpenNameless(const std::string& folder) {
#ifdef O_TMPFILE
  const int fd = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (fd >= 0 && access(DescriptorPath(fd).c_str(), F_OK) == 0) return fd;
  if (fd >= 0) close(fd);  // no /proc, so no way to name it later
#else
  static_cast<void>(folder);
#endif
  return -1;
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& path, uint64_t expected_bytes) {
  struct stat existing {};
  // Renaming over a device or directory would destroy it or fail only after all the work.
  const bool replaces = stat(path.c_str(), &existing) == 0;
  if (replaces && !S_ISREG(existing.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: exists and is not a regular file", Shown(path));
  }
  const int nameless = OpenNameless(FolderOf(path));
  Result<OutputFile> file = nameless >= 0 ? OutputFile(path, {}, nameless) : CreateNamed(path);
  if (!file) return file;
  if (replaces) file->TakeRightsOf(existing);
  if (Status status = file->Reserve(expected_bytes); !status) return Propagate(status);
  return file;
}

Result<OutputFile> OutputFile::CreateNamed(const std::string& path) {
  for (int i = 0; i < kMaxNames; ++i) {
    std::string temporary_path = TemporaryPath(path, i);
    const int fd = open(temporary_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return OutputFile(path, std::move(temporary_path), fd);
    if (errno != EEXIST) break;
  }
  return Fail(ErrorCode::kIo, "{}: cannot create: {}", Shown(path), std::strerror(errno));
}

OutputFile::OutputFile(std::string path, std::string temporary_path, int fd)
    : path_(std::move(path)), temporary_path_(std::move(temporary_path)), fd_(fd) {
  buffer_.reserve(kBufferBytes);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)) {}

OutputFile::~OutputFile() { Discard(); }

/// A secret stays one, and a service's file its own, where this process may give it away.
void OutputFile::TakeRightsOf(const struct stat& existing) const {
  const bool has_group = fchown(fd_, existing.st_uid, existing.st_gid) == 0;
  fchmod(fd_, existing.st_mode & (has_group ? 0777U : 0707U));
}

Status OutputFile::Reserve(uint64_t bytes) {
#ifdef __linux__
  // Other failures mean that the file system cannot reserve; the writes will tell.
  if (fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0 &&
      (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
    const int error_number = errno;
    Discard();
    return Fail(ErrorCode::kIo, "{}: cannot reserve {} bytes: {}", Shown(path_), bytes,
                std::strerror(error_number));
  }
#else
  static_cast<void>(bytes);
#endif
  return {};
}

Status OutputFile::Write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    if (Status status = Flush(); !status) return status;
  }
  if (bytes.size() > kBufferBytes) return WriteThrough(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return {};
}

Status OutputFile::Commit() {
  Status status = Flush();
  if (status) status = Publish();
  Discard();
  return status;
}

Status OutputFile::Publish() {
  // A new file is not waited for, which could take minutes: when the machine stops now, only this
  // file is lost. One that replaces another must be on the disk before that one goes.
  const bool replaces = access(path_.c_str(), F_OK) == 0;
  if (replaces && fsync(fd_) != 0) return SystemError(errno);
  for (int i = 0; temporary_path_.empty() && i < kMaxNames; ++i) {
    const std::string name = TemporaryPath(path_, i);
    if (linkat(AT_FDCWD, DescriptorPath(fd_).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) ==
        0) {
      temporary_path_ = name;
    } else if (errno != EEXIST) {
      break;
    }
  }
  if (temporary_path_.empty()) return SystemError(errno);
  if (close(std::exchange(fd_, -1)) != 0) return SystemError(errno);
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) return SystemError(errno);
  temporary_path_.clear();
  if (replaces) SyncFolder();
  return {};
}

void OutputFile::SyncFolder() const {
  const int folder = open(FolderOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);  // a failure leaves the old file or the new one, both whole
  close(folder);
}

Status OutputFile::WriteThrough(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    // The bytes lie in a mapped file that became shorter: reading them here says so.
    if (written < 0 && errno == EFAULT) Touch(bytes);
    if (written < 0) {
      const int error_number = errno;
      Discard();
      return SystemError(error_number);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status OutputFile::Flush() {
  Status status = WriteThrough(buffer_);
  buffer_.clear();
  return status;
}

tl::unexpected<Error> OutputFile::SystemError(int error_number) const {
  return Fail(ErrorCode::kIo, "{}: cannot write: {}", Shown(path_), std::strerror(error_number));
}

void OutputFile::Discard() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  if (!temporary_path_.empty()) std::remove(std::exchange(temporary_path_, {}).c_str());
}

}  // namespace quern
