// Reads the hyperparameters of one architecture from metadata, checking each value's range.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"

namespace quern {

/// The first failure sticks, and reads after it give zero: callers look at the status when they
/// need it.
class HParamsReader {
 public:
  HParamsReader(const GgufFile& file, std::string arch) : file_(file), arch_(std::move(arch)) {}

  const GgufFile& file() const { return file_; }
  /// `suffix` behind the architecture's name: "llama.block_count".
  std::string Key(std::string_view suffix) const { return arch_ + "." + std::string(suffix); }
  bool Has(std::string_view suffix) const { return file_.Find(Key(suffix)) != nullptr; }

  /// A count from 1 to `most`.
  uint32_t Count(std::string_view suffix, uint64_t most);
  uint32_t CountOr(std::string_view suffix, uint64_t fallback, uint64_t most);
  /// A finite number above 0.
  double PositiveOr(std::string_view suffix, double fallback);
  /// `key`: whole, with the architecture's name where it has that.
  std::string TextOr(std::string_view key, std::string_view fallback);

  /// Fails with a message behind the file's name.
  template <typename... Args>
  void Refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    Stick(Fail(code, "{}: {}", file_.name(), fmt::format(format, std::forward<Args>(args)...)));
  }
  const Status& status() const { return status_; }

 private:
  uint32_t Stick(tl::unexpected<Error> error);
  uint32_t Checked(std::string_view suffix, Result<uint64_t> value, uint64_t most);

  const GgufFile& file_;
  std::string arch_;
  Status status_;
};

}  // namespace quern
