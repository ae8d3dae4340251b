#include "tools/hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "gguf/base/format_number.h"
#include "gguf/base/parse_json.h"
#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// How much a killed process loses at most.
constexpr auto kSaveInterval = std::chrono::milliseconds(500);

/// File systems give space in blocks of at least so many bytes.
constexpr size_t kBlockBytes = 4096;

std::string PartialPath(const std::string& path) { return path + ".partial"; }
std::string StatePath(const std::string& path) { return path + ".partial.json"; }

struct State {
  FileIdentity identity;
  ByteRanges done;
};

/// A state that was cut or made by hand counts as none.
std::optional<State> ReadState(const std::string& path) {
  const Result<std::string> text = ReadText(StatePath(path));
  if (!text) return std::nullopt;
  const Result<nlohmann::json> json = ParseJsonObject(*text);
  if (!json) return std::nullopt;
  try {
    State state{{json->at("size"), json->at("sha256"), json->at("etag")}, {}};
    for (const auto& range : json->at("done")) state.done.Add({range.at(0), range.at(1)});
    struct stat file {};
    // Whatever is not there is asked for again.
    if (stat(PartialPath(path).c_str(), &file) != 0) return std::nullopt;
    const std::vector<ByteRange> ranges = state.done.ranges();
    const uint64_t end = ranges.empty() ? 0 : ranges.back().end;
    if (end > state.identity.size || end > static_cast<uint64_t>(file.st_size)) return std::nullopt;
    return state;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

bool SameContents(const FileIdentity& a, const FileIdentity& b) {
  if (a.size != b.size) return false;
  if (!a.sha256.empty() || !b.sha256.empty()) return a.sha256 == b.sha256;
  return !a.etag.empty() && a.etag == b.etag;
}

/// The file is the old one or the new one, whenever the process ends.
bool Replace(const std::string& path, const std::string& text) {
  const std::string new_path = path + ".new";
  std::ofstream file(new_path, std::ios::binary);
  file << text;
  file.close();
  if (!file.fail() && std::rename(new_path.c_str(), path.c_str()) == 0) return true;
  const int error_number = errno;
  std::remove(new_path.c_str());
  errno = error_number;
  return false;
}

/// For a full disk, which has no room for another file: the block that the old one takes is its
/// own.
bool Overwrite(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_written =
      pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
      ftruncate(fd, static_cast<off_t>(text.size())) == 0;
  close(fd);
  return is_written;
}

tl::unexpected<Error> SystemError(const std::string& path, const char* what, int error_number) {
  return Fail(ErrorCode::kIo, "{}: cannot {}: {}", Printable(path, path.size()), what,
              std::strerror(error_number));
}

}  // namespace

struct PartialFile::Impl {
  std::string path;
  std::string partial_path;
  int fd = -1;
  State state;
  mutable std::mutex mutex = {};  ///< of state and last_save
  Clock::time_point last_save = Clock::now();

  /// The caller holds the mutex. It is not waited for until the disk has it: when the machine
  /// stops, the hash tells.
  Status Save() {
    last_save = Clock::now();
    nlohmann::json json = {{"size", state.identity.size},
                           {"sha256", state.identity.sha256},
                           {"etag", state.identity.etag},
                           {"done", nlohmann::json::array()}};
    for (const ByteRange& range : state.done.ranges()) {
      json["done"].push_back({range.begin, range.end});
    }
    const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const std::string state_path = StatePath(path);
    if (Replace(state_path, text)) return {};
    const int error_number = errno;
    if (text.size() <= kBlockBytes && Overwrite(state_path, text)) return {};
    return SystemError(state_path, "write", error_number);
  }
};

Result<PartialFile> PartialFile::Open(const std::string& path, const FileIdentity& identity) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->partial_path = PartialPath(path);
  impl->state.identity = identity;
  int flags = O_RDWR | O_CREAT | O_CLOEXEC;
  std::optional<State> left = ReadState(path);
  if (left && SameContents(left->identity, identity)) {
    impl->state.done = std::move(left->done);
  } else {
    flags |= O_TRUNC;
  }
  impl->fd = open(impl->partial_path.c_str(), flags, 0666);
  if (impl->fd < 0) return SystemError(impl->partial_path, "write", errno);
  PartialFile file(std::move(impl));
  if (Status status = file.impl_->Save(); !status) return Propagate(status);
  return file;
}

PartialFile::PartialFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PartialFile::PartialFile(PartialFile&&) noexcept = default;

PartialFile::~PartialFile() {
  if (impl_ == nullptr || impl_->fd < 0) return;
  static_cast<void>(impl_->Save());  // else the last state that was written holds
  close(impl_->fd);
}

Status PartialFile::Write(uint64_t offset, std::span<const std::byte> bytes) {
  uint64_t at = offset;
  int error_number = 0;
  while (!bytes.empty() && error_number == 0) {
    const ssize_t n = pwrite(impl_->fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n >= 0) {
      at += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      error_number = errno;
    }
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->state.done.Add({offset, at});
  if (error_number != 0) {
    static_cast<void>(impl_->Save());  // else the last state that was written holds
    return Fail(ErrorCode::kIo, "{}: cannot write: {}; {} of {} are kept for the next try",
                Printable(partial_path(), partial_path().size()), std::strerror(error_number),
                FormatBytes(impl_->state.done.n_bytes()), FormatBytes(impl_->state.identity.size));
  }
  if (Clock::now() - impl_->last_save < kSaveInterval) return {};
  return impl_->Save();
}

uint64_t PartialFile::n_done() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->state.done.n_bytes();
}

std::vector<ByteRange> PartialFile::Missing(uint64_t piece_bytes) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->state.done.Missing(impl_->state.identity.size, piece_bytes);
}

const std::string& PartialFile::partial_path() const { return impl_->partial_path; }

Status PartialFile::Commit() {
  if (fsync(impl_->fd) != 0 || std::rename(partial_path().c_str(), impl_->path.c_str()) != 0) {
    return SystemError(impl_->path, "write", errno);
  }
  const std::string folder = impl_->path.substr(0, impl_->path.rfind('/') + 1);
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    fsync(folder_fd);  // a failure leaves the file under its old name or its new one
    close(folder_fd);
  }
  Discard();
  return {};
}

void PartialFile::Discard() {
  close(std::exchange(impl_->fd, -1));
  RemoveAt(impl_->path);
}

PartialFile::Extent PartialFile::ExtentAt(const std::string& path) {
  const std::optional<State> state = ReadState(path);
  if (!state) return {};
  return {state->done.n_bytes(), state->identity.size};
}

bool PartialFile::RemoveAt(const std::string& path) {
  const bool had_file = std::remove(PartialPath(path).c_str()) == 0;
  const bool had_state = std::remove(StatePath(path).c_str()) == 0;
  std::remove((StatePath(path) + ".new").c_str());
  return had_file || had_state;
}

}  // namespace quern
