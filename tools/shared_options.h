// Options that several commands have, each with one name, check and description.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "gguf/result.h"
#include "kernels/attention.h"

namespace quern {

/// More would not run faster on any machine of today, and starting them can fail.
inline constexpr int kMostThreads = 1024;
/// As many positions as a model may state.
inline constexpr size_t kMostContext = size_t{1} << 28;

/// -t, --threads; 0, all CPUs allowed, unless it is given.
void AddThreadsOption(CLI::App* command, int* n_threads);

/// -b, --batch-size, --ubatch-size: what it holds is the default.
void AddBatchSizeOption(CLI::App* command, size_t* batch_size);

/// -ctk and -ctv, with their long names.
class CacheTypeOptions {
 public:
  void AddTo(CLI::App* command);

  /// Errors: kUnsupported when K and V differ; the cache holds both as one type.
  Result<KvType> Get() const;

 private:
  KvType k_ = KvType::kF16;
  KvType v_ = KvType::kF16;
  CLI::Option* v_option_ = nullptr;
};

/// "f16", as on the command line.
std::string_view NameOf(KvType type);

}  // namespace quern
