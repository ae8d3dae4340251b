#include "gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/printable.h"
#include "gguf/mapping_watch.h"

namespace quern {
namespace {

size_t PageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

Result<std::span<const std::byte>> Map(int fd, const std::string& shown_path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) {
    return Fail(ErrorCode::kIo, "{}: cannot stat: {}", shown_path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return Fail(ErrorCode::kCorruptFile, "{}: {}, expected a regular file", shown_path,
                KindOf(info.st_mode));
  }
  if (info.st_size == 0) return Fail(ErrorCode::kCorruptFile, "{}: the file is empty", shown_path);
  const auto size = static_cast<size_t>(info.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    return Fail(ErrorCode::kIo, "{}: cannot map {} bytes: {}", shown_path, size,
                std::strerror(errno));
  }
  return std::span(static_cast<const std::byte*>(address), size);
}

void* Mutable(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const std::string shown_path = Printable(path, path.size());
  // O_NONBLOCK: opening a FIFO without a writer would wait forever.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return Fail(code, "{}: cannot open: {}", shown_path, std::strerror(errno));
  }
  Result<std::span<const std::byte>> bytes = Map(fd, shown_path);
  close(fd);
  if (!bytes) return Propagate(bytes);
  WatchMapping(*bytes, shown_path);
  return MappedFile(*bytes);
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  const MappedFile old(std::exchange(bytes_, std::exchange(other.bytes_, {})));
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  UnwatchMapping(bytes_);
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool MappedFile::Contains(std::span<const std::byte> bytes) const {
  const std::less_equal<const std::byte*> at_most;
  return at_most(bytes_.data(), bytes.data()) &&
         at_most(bytes.data() + bytes.size(), bytes_.data() + bytes_.size());
}

void MappedFile::WillNeed(std::span<const std::byte> bytes) const {
  QUERN_DCHECK(Contains(bytes));
  if (bytes.empty()) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t page_begin = begin / PageBytes() * PageBytes();
  madvise(Mutable(page_begin), begin - page_begin + bytes.size(), MADV_WILLNEED);
}

void MappedFile::DropPages(std::span<const std::byte> bytes) const {
  QUERN_DCHECK(Contains(bytes));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first_page = (begin + PageBytes() - 1) / PageBytes() * PageBytes();
  const std::uintptr_t end_page = (begin + bytes.size()) / PageBytes() * PageBytes();
  if (first_page < end_page) madvise(Mutable(first_page), end_page - first_page, MADV_DONTNEED);
}

}  // namespace quern
