// Options of the commands that get models from a hub, with llama.cpp's names.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "gguf/base/result.h"

namespace quern {

struct PullRequest;

/// --cache-dir. `folder` stays empty without it.
void AddCacheOption(CLI::App* command, std::string* folder);

/// The folder given, else ModelCache::DefaultFolder.
Result<std::string> CacheFolder(const std::string& given);

/// -hff: `file` is a path in the repository.
void AddHubFileOption(CLI::App* command, std::string* file);

class HubOptions {
 public:
  /// All but the name of the model.
  void AddTo(CLI::App* command);
  /// --hf-repo and --offline beside them, for commands that take a MODEL.
  void AddWithNameTo(CLI::App* command);

  /// Whether --hf-repo was given.
  bool has_name() const { return !name_.empty(); }

  /// Whether --hf-token was given.
  bool has_token() const { return !token_.empty(); }

  /// ORG/REPO[:QUANT] where that alone says which model is meant; else empty.
  std::string reference() const;

  /// Path of the model that --hf-repo names. Errors: those of FindModel.
  Result<std::string> Find() const;
  /// Path of the model called `name`, after asking the hub. Errors: those of PullModel.
  Result<std::string> Pull(const std::string& name) const;

 private:
  Result<PullRequest> RequestFor(const std::string& name) const;

  std::string name_;
  std::string file_;
  std::string endpoint_;
  std::string token_;
  std::string revision_ = "main";
  std::string cache_folder_;
  bool offline_ = false;
};

}  // namespace quern
