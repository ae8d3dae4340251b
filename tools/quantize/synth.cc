// `quern synth`: writes a model of real shapes with random weights.
#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "gguf/base/format_number.h"
#include "tools/cli/commands.h"
#include "tools/options/shared_options.h"
#include "tools/quantize/random_blocks.h"
#include "tools/quantize/synthetic_model.h"
#include "tools/terminal/progress_bar.h"

namespace quern {
namespace {

struct SynthOptions {
  std::string out;
  std::string preset;
  std::string architecture;
  std::string vocabulary;
  std::string type = "Q4_K_M";
  int n_threads = 0;
  uint64_t seed = 1;
  // Shapes that were given on their own, before the preset's.
  std::optional<uint32_t> n_vocab, n_ctx_train, n_embd, n_layer, n_head, n_head_kv, head_dim, n_ff;
  bool tied = false;
  bool json = false;
};

Result<SyntheticModel> ModelOf(const SynthOptions& options) {
  SyntheticModel model;
  if (!options.preset.empty()) {
    auto preset = SyntheticModel::Preset(options.preset);
    if (!preset) return Propagate(preset);
    model = *preset;
  }
  if (!options.architecture.empty()) model.architecture = options.architecture;
  model.n_vocab = options.n_vocab.value_or(model.n_vocab);
  model.n_ctx_train = options.n_ctx_train.value_or(model.n_ctx_train);
  model.n_embd = options.n_embd.value_or(model.n_embd);
  model.n_layer = options.n_layer.value_or(model.n_layer);
  model.n_head = options.n_head.value_or(model.n_head);
  model.n_head_kv = options.n_head_kv.value_or(model.n_head_kv);
  model.head_dim = options.head_dim.value_or(model.head_dim);
  model.n_ff = options.n_ff.value_or(model.n_ff);
  model.tied = model.tied || options.tied;
  model.seed = options.seed;
  std::string type = options.type;
  for (char& c : type) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (type != "Q4_K_M") {
    model.type = GgmlTypeFromName(type);
    if (!model.type || !CanFillRandomBlocks(*model.type)) {
      return Fail(ErrorCode::kInvalidArgument, "type '{}', expected Q4_K_M or a type that runs",
                  options.type);
    }
  }
  return model;
}

Result<int> PrintSummary(const SynthOptions& options, const std::string& name) {
  auto file = GgufFile::Open(options.out);
  if (!file) return Propagate(file);
  uint64_t n_weights = 0;
  for (const TensorInfo& tensor : file->tensors()) n_weights += tensor.n_elements();
  if (options.json) {
    const nlohmann::ordered_json json = {{"file", options.out},
                                         {"model", name},
                                         {"parameters", n_weights},
                                         {"bytes", file->file_bytes()}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}: {}, {} parameters, {}\n", options.out, name, FormatCount(n_weights),
               FormatBytes(file->file_bytes()));
  }
  return 0;
}

Result<int> Synth(const SynthOptions& options) {
  auto model = ModelOf(options);
  if (!model) return Propagate(model);
  std::optional<GgufFile> vocabulary;
  if (!options.vocabulary.empty()) {
    auto file = GgufFile::Open(options.vocabulary);
    if (!file) return Propagate(file);
    vocabulary.emplace(std::move(*file));
  }
  SyntheticWriteOptions write_options;
  write_options.vocabulary = vocabulary ? &*vocabulary : nullptr;
  write_options.n_threads = options.n_threads;
  Status written = [&] {
    ProgressBar bar;
    write_options.progress = [&bar](double share) { bar.Show(share, "writing"); };
    return WriteSyntheticModel(*model, options.out, write_options);
  }();
  if (!written) return Propagate(written);
  return PrintSummary(options, model->name);
}

}  // namespace

void AddSynthCommand(Commands& commands) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* command = commands.Add("synth", "Write a model of chosen shapes with random weights",
                                   [options] { return Synth(*options); });
  command->add_option("OUT", options->out, "GGUF file to write")->type_name("MODEL")->required();
  command->add_option("--preset", options->preset,
                      "Shapes and types of a release: " + SyntheticModel::PresetNames());
  command->add_option("--arch", options->architecture, "Architecture of the file (default: llama)");
  command
      ->add_option("--vocab", options->vocabulary,
                   "GGUF file whose tokenizer is copied (default: a generated one)")
      ->type_name("MODEL");
  command->add_option("--type", options->type, "Type of all matrices, or the mix Q4_K_M")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the weights")->capture_default_str();
  AddThreadsOption(command, &options->n_threads);
  command->add_option("--n-layer", options->n_layer, "Layers");
  command->add_option("--n-embd", options->n_embd, "Width of the residual stream");
  command->add_option("--n-head", options->n_head, "Query heads");
  command->add_option("--n-head-kv", options->n_head_kv, "KV heads");
  command->add_option("--head-dim", options->head_dim, "Elements of a head");
  command->add_option("--n-ff", options->n_ff, "Width of the feed-forward network");
  command->add_option("--n-vocab", options->n_vocab, "Tokens of a generated vocabulary");
  command->add_option("--n-ctx", options->n_ctx_train, "Trained context length to state");
  command->add_flag("--tied", options->tied, "The output matrix is the embedding");
  command->add_flag("--json", options->json, "Print what was written as JSON");
}

}  // namespace quern
