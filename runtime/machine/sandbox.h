// A function that answers requests in a process of its own: whatever it does, this process lives
// on.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// What one request may use.
struct SandboxLimits {
  std::chrono::milliseconds cpu_time{10000};
  size_t memory_bytes = size_t{256} << 20;  ///< not held to in builds with sanitizers
};

/// The process is forked at the first request and answers all that follow. A crash, an endless
/// loop or a hunger for memory ends it, which is that request's error; the next request gets a new
/// process. Large mappings that it has no use for should carry MADV_DONTFORK.
class Sandbox {
 public:
  using Function = std::function<std::string(std::string)>;

  explicit Sandbox(Function function, SandboxLimits limits = {});
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  /// What `function` says to `request`. From any thread; requests run one after the other.
  /// Errors: kUnsupported with what became of the process ("crashed (SIGSEGV)").
  Result<std::string> Ask(std::string_view request);

 private:
  Status Start();
  bool Exchange(std::string_view request, std::string& answer) const;
  /// Ends the process; why it had not answered.
  std::string Stop();
  [[noreturn]] void Serve(int socket) const;

  Function function_;
  SandboxLimits limits_;
  std::mutex mutex_;
  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace quern
