// The file that a log ends in: it can be opened anew, or set aside, while lines are written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// Thread-safe.
class LogFile {
 public:
  /// Appends to `path`; empty: stderr. Errors: kIo.
  static Result<std::unique_ptr<LogFile>> Open(std::string path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// The same for all its life, whatever file it leads to.
  int descriptor() const { return descriptor_; }
  uint64_t Size() const;

  /// Opens the path again, which may name another file by now. Errors: kIo; then it goes on in the
  /// old one. Does nothing on stderr.
  Status Reopen();
  /// Renames the file to `path.1`, a `path.1` that is there to `path.2` and so on up to `n_kept`,
  /// and begins anew. Errors: kIo; then it goes on in the old one.
  Status SetAside(size_t n_kept);

 private:
  LogFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  const std::string path_;
  const int descriptor_;
  std::mutex mutex_;  ///< of those who change what it leads to
};

}  // namespace quern
