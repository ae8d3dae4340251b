#include "tools/options/shared_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "gguf/base/read_text.h"

namespace quern {
namespace {

// As many positions as a model may state.
constexpr size_t kMostContext = size_t{1} << 28;
constexpr size_t kDefaultContext = 4096;

const std::map<std::string, KvType>& CacheTypes() {
  static const std::map<std::string, KvType> kTypes = {
      {"f16", KvType::kF16}, {"bf16", KvType::kBF16}, {"f32", KvType::kF32}, {"q8_0", KvType::kQ8}};
  return kTypes;
}

}  // namespace

void AddThreadsOption(CLI::App* command, int* n_threads) {
  command->add_option("-t,--threads", *n_threads, "Threads (default: all CPUs allowed)")
      ->check(CLI::Range(1, kMostThreads));
}

void AddLoadOption(CLI::App* command, LoadMode* mode) {
  static const std::map<std::string, LoadMode> kModes = {{"mmap", LoadMode::kMmap},
                                                         {"pack", LoadMode::kPack}};
  command
      ->add_option("--load", *mode,
                   fmt::format("mmap: use the weights in the file's mapping, ready at once; pack: "
                               "copy them to the layout that runs fastest (default: {})",
                               *mode == LoadMode::kMmap ? "mmap" : "pack"))
      ->transform(CLI::CheckedTransformer(kModes, CLI::ignore_case))
      ->type_name("MODE");
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
  const auto add = [&](const char* name, KvType& type, const char* description) {
    command->add_option(name, type, description)->transform(to_type)->type_name("TYPE");
  };
  add("--cache-type-k", types_.k,
      "Type of K in the KV cache: f16, bf16, f32 or q8_0 (default: f16; also -ctk)");
  add("--cache-type-v", types_.v, "Type of V in the KV cache, as for K (also -ctv)");
}

void ChatTemplateOptions::AddTo(CLI::App* command) {
  CLI::Option* text = command->add_option("--chat-template", text_,
                                          "Chat template to use instead of the model's, as Jinja");
  text->check([](const std::string& value) {
    return value.find('{') == std::string::npos
               ? "'" + value + "' prints no message, expected the text of a Jinja template"
               : std::string();
  });
  command->add_option("--chat-template-file", path_, "File with such a template")
      ->type_name("FILE")
      ->excludes(text);
}

Result<std::optional<std::string>> ChatTemplateOptions::Source() const {
  if (!text_.empty()) return text_;
  if (path_.empty()) return std::nullopt;
  Result<std::string> text = ReadText(path_);
  if (!text) return Propagate(text);
  return *std::move(text);
}

std::string_view NameOf(KvType type) {
  for (const auto& [name, named] : CacheTypes()) {
    if (named == type) return name;
  }
  return "";
}

}  // namespace quern
