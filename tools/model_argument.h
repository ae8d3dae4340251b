// The MODEL argument that commands share: a GGUF file's path, or the built-in demo model when there
// is none.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>

#include "gguf/gguf_file.h"
#include "gguf/result.h"

namespace quern {

/// Lives in a command's options.
class ModelArgument {
 public:
  ModelArgument() = default;
  /// For a command that finds the path by itself; empty is the demo model.
  explicit ModelArgument(std::string path) : path_(std::move(path)) {}

  /// Adds the optional positional MODEL, which -m and --model also set.
  void AddTo(CLI::App* command);

  /// Opens the file. Errors: those of GgufFile::Open.
  Result<GgufFile> Open() const;

 private:
  std::string path_;
};

}  // namespace quern
