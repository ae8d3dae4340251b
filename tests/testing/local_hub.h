// A hub on the loopback address that speaks the interface of the real ones, and fails as it is
// told.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/http/tls.h"

namespace quern::testing {

/// How the hub departs from the best of hubs. Set before something is asked of it.
struct HubFaults {
  std::string token;             ///< that every request needs; empty: none
  int refusal = 401;             ///< of a request without it
  std::string error_code;        ///< X-Error-Code of refusals
  std::string listing;           ///< instead of the right one; empty: the right one
  std::vector<int> statuses;     ///< of the first requests for files, in their order
  std::string retry_after;       ///< with each of those
  bool ignores_ranges = false;   ///< 200 with all of the file
  size_t n_cuts = 0;             ///< so many answers end early
  size_t cut_after = 0;          ///< after so many bytes
  std::string announced_sha256;  ///< of every file; empty: the right one
  bool redirects = false;        ///< to another origin, for what files hold
  std::string location;          ///< of redirects; empty: the other origin
  /// Called before each piece of a file is sent, with its offset; may block.
  std::function<void(size_t offset)> before_bytes;
};

class LocalHub {
 public:
  struct Seen {
    std::string path;
    std::string range;
    std::string authorization;
    bool at_other_origin;
  };

  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  /// With `tls`, both origins speak it.
  explicit LocalHub(const std::optional<TlsFiles>& tls = {});
  ~LocalHub();
  LocalHub(const LocalHub&) = delete;
  LocalHub& operator=(const LocalHub&) = delete;

  /// Of the one repository, "org/repo"; replaces what has this path.
  void Add(const std::string& path, std::string content);

  std::string endpoint() const;
  std::string FileUrl(const std::string& path) const;
  HubFaults& faults();
  /// The same while requests run.
  void Change(const std::function<void(HubFaults&)>& change);
  /// Requests so far.
  std::vector<Seen> seen() const;
  /// Those for what files hold.
  size_t n_file_requests() const;
  /// Bytes of files that were sent so far.
  size_t n_sent() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Bytes that tell where they are from, of a GGUF file that holds nothing.
std::string PatternOf(size_t n_bytes, unsigned seed = 1);

/// 64 hexadecimal digits.
std::string Sha256Of(const std::string& content);

}  // namespace quern::testing
