// Options that several commands have, each with one name, check and description.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "gguf/base/result.h"
#include "kernels/attention.h"
#include "runtime/model/hparams.h"
#include "runtime/model/model.h"

namespace quern {

/// More would not run faster on any machine of today, and starting them can fail.
inline constexpr int kMostThreads = 1024;

/// -t, --threads; 0, all CPUs allowed, unless it is given.
void AddThreadsOption(CLI::App* command, int* n_threads);

/// --load, whose default is what `mode` holds.
void AddLoadOption(CLI::App* command, LoadMode* mode);

/// Most prompt tokens of a step: what it holds is the default.
void AddBatchSizeOption(CLI::App* command, size_t* batch_size,
                        const std::string& names = "-b,--batch-size,--ubatch-size");

/// -c, --ctx-size. `description` says what the tokens are for; the default is added.
void AddContextOption(CLI::App* command, const std::string& description,
                      std::optional<size_t>* n_ctx);

/// The tokens that the option asks for, where 0 is all that the model was trained for; without it
/// that, at most 4096.
size_t ContextFor(const HParams& hparams, std::optional<size_t> n_ctx);

/// -ctk and -ctv, with their long names.
class CacheTypeOptions {
 public:
  void AddTo(CLI::App* command);

  KvTypes types() const { return types_; }

 private:
  KvTypes types_;
};

/// --chat-template and --chat-template-file.
class ChatTemplateOptions {
 public:
  void AddTo(CLI::App* command);

  /// The template's text; none: the model's own. Errors: those of reading the file.
  Result<std::optional<std::string>> Source() const;
  /// What --chat-template-file names; empty: nothing.
  const std::string& path() const { return path_; }

 private:
  std::string text_;
  std::string path_;
};

/// "f16", as on the command line.
std::string_view NameOf(KvType type);

}  // namespace quern
