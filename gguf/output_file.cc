#include "gguf/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "gguf/printable.h"

namespace quern {
namespace {

// Writes of this size run at the speed of the disk; a pointer's worth of small tensors would not.
constexpr size_t kBufferBytes = 4 << 20;
constexpr int kMaxNames = 100;

std::string Shown(const std::string& path) { return Printable(path, path.size()); }

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& path, uint64_t expected_bytes) {
  struct stat existing {};
  // Renaming over a device or directory would destroy it or fail only after all the work.
  if (stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: exists and is not a regular file", Shown(path));
  }
  for (int i = 0; i < kMaxNames; ++i) {
    std::string temporary_path = fmt::format("{}.{}-{}.part", path, getpid(), i);
    const int fd = open(temporary_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      OutputFile file(path, std::move(temporary_path), fd);
      if (Status status = file.Reserve(expected_bytes); !status) return Propagate(status);
      return file;
    }
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
      temporary_path_(std::move(other.temporary_path_)),
      fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)) {}

OutputFile::~OutputFile() { Discard(); }

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
  if (Status status = Flush(); !status) return status;
  // No fsync: it would wait for gigabytes, and a crash of the machine at this moment costs only
  // this new file.
  if (close(std::exchange(fd_, -1)) != 0) {
    const int error_number = errno;
    std::remove(temporary_path_.c_str());
    return SystemError(error_number);
  }
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    std::remove(temporary_path_.c_str());
    return SystemError(error_number);
  }
  return {};
}

Status OutputFile::WriteThrough(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
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
  if (fd_ < 0) return;
  close(std::exchange(fd_, -1));
  std::remove(temporary_path_.c_str());
}

}  // namespace quern
