#include "tools/shared_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace quern {
namespace {

// As many positions as a model may state.
constexpr size_t kMostContext = size_t{1} << 28;
constexpr size_t kDefaultContext = 4096;

const std::map<std::string, KvType>& CacheTypes() {
  static const std::map<std::string, KvType> kTypes = {
      {"f16", KvType::kF16}, {"bf16", KvType::kBF16}, {"f32", KvType::kF32}};
  return kTypes;
}

}  // namespace

void AddThreadsOption(CLI::App* command, int* n_threads) {
  command->add_option("-t,--threads", *n_threads, "Threads (default: all CPUs allowed)")
      ->check(CLI::Range(1, kMostThreads));
}

void AddBatchSizeOption(CLI::App* command, size_t* batch_size, const std::string& names) {
  command
      ->add_option(names, *batch_size,
                   fmt::format("Most prompt tokens run at once (default: {})", *batch_size))
      ->check(CLI::Range(1, 1 << 20));
}

void AddContextOption(CLI::App* command, const std::string& description,
                      std::optional<size_t>* n_ctx) {
  command
      ->add_option("-c,--ctx-size", *n_ctx,
                   fmt::format("{} (default: what the model was trained for, at most {}); 0: what "
                               "it was trained for",
                               description, kDefaultContext))
      ->check(CLI::Range(size_t{0}, kMostContext));
}

size_t ContextFor(const HParams& hparams, std::optional<size_t> n_ctx) {
  if (!n_ctx) return std::min<size_t>(hparams.n_ctx_train, kDefaultContext);
  return *n_ctx > 0 ? *n_ctx : hparams.n_ctx_train;
}

void CacheTypeOptions::AddTo(CLI::App* command) {
  const CLI::CheckedTransformer to_type(CacheTypes(), CLI::ignore_case);
  command->add_option("--cache-type-k", k_, "Type of the KV cache: f16, bf16 or f32 (also -ctk)")
      ->transform(to_type);
  v_option_ = command->add_option("--cache-type-v", v_, "As for K, which it must equal (also -ctv)")
                  ->transform(to_type);
}

Result<KvType> CacheTypeOptions::Get() const {
  if (v_option_->count() > 0 && k_ != v_) {
    return Fail(ErrorCode::kUnsupported,
                "--cache-type-k is {} and --cache-type-v {}: expected the same", NameOf(k_),
                NameOf(v_));
  }
  return k_;
}

std::string_view NameOf(KvType type) {
  for (const auto& [name, named] : CacheTypes()) {
    if (named == type) return name;
  }
  return "";
}

}  // namespace quern
