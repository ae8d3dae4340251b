// One file from a hub to the disk: in parallel ranges, through cut connections, going on where an
// earlier process stopped, and checked by its hash.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "gguf/base/result.h"
#include "tools/hub/backoff.h"

namespace quern {

struct DownloadRequest {
  std::string url;
  std::string token;        ///< for the origin of `url` alone; empty: none
  std::string what;         ///< the file's name in messages
  uint64_t size = 0;        ///< that the hub's listing tells
  std::string sha256 = {};  ///< empty: unknown, then the hub's header may tell
};

struct DownloadOptions {
  int n_connections = 4;
  uint64_t piece_bytes = 32 << 20;  ///< of one request
  RetryPolicy retry;
};

/// Called from the thread that downloads, and may be empty.
struct DownloadReporter {
  std::function<void(const std::string& line)> say;
  std::function<void(uint64_t n_done)> progress;  ///< bytes of the file that are there
  std::function<void(uint64_t n_done)> check;     ///< bytes of the file that were hashed
};

/// Puts the file at `path`, in a folder that exists, whole or not at all; what there is of it stays
/// beside it when something fails. The caller sees to it that nobody else does the same. Errors:
/// those of HubRefusal; kIo; kCorruptFile when the hash is wrong twice, or the file changes twice
/// on the hub while it is read.
Status Download(const DownloadRequest& request, const std::string& path,
                const DownloadOptions& options, const DownloadReporter& reporter);

}  // namespace quern
