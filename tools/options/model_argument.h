// The MODEL argument that commands share: a GGUF file's path, a model of a hub, or the built-in
// demo model when there is none.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "tools/options/hub_options.h"

namespace quern {

/// Lives in a command's options.
class ModelArgument {
 public:
  /// Adds the optional positional MODEL, which -m and --model also set, and the options of a hub.
  void AddTo(CLI::App* command);
  /// The same without the positional argument, for a command that finds the path by itself.
  void AddNamedTo(CLI::App* command);

  /// Whether the command line names a model.
  bool is_given() const { return !path_.empty() || hub_.has_name(); }
  const HubOptions& hub() const { return hub_; }
  /// Of the file; empty where none was given.
  const std::string& path() const { return path_; }
  /// HubOptions::reference of a model of a hub; else empty.
  std::string hub_reference() const { return hub_.reference(); }
  void set_path(std::string path) { path_ = std::move(path); }

  /// Opens the file, after downloading it if need be. Errors: kInvalidArgument for a path and a
  /// hub's name at once; those of FindModel and GgufFile::Open.
  Result<GgufFile> Open() const;

 private:
  void Add(CLI::App* command, const std::string& names);

  std::string path_;
  HubOptions hub_;
};

}  // namespace quern
