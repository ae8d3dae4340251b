// A lock between processes that leaves no file behind.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// Holds the lock file at a path, with flock, until it is destroyed or its process ends.
class FileLock {
 public:
  /// Waits for as long as another process holds it; `on_wait` is called once before. Errors: kIo.
  static Result<FileLock> Acquire(const std::string& path, const std::function<void()>& on_wait);
  /// Nothing when another process holds it. Errors: kIo.
  static Result<std::optional<FileLock>> TryAcquire(const std::string& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
};

}  // namespace quern
