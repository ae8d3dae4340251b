#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "tools/commands.h"
#include "tools/progress_bar.h"
#include "tools/random_blocks.h"
#include "tools/synthetic_model.h"

namespace quern {
namespace {

struct SynthOptions {
  std::string out;
  std::string preset;
  std::string vocabulary;
  std::string type = "Q4_K_M";
  std::string rope_scaling;
  int n_threads = 0;
  uint64_t seed = 1;
  // Shapes that were given on their own, before the preset's.
  std::optional<uint32_t> n_vocab, n_ctx_train, n_embd, n_layer, n_head, n_head_kv, head_dim, n_ff;
  bool tied = false;
};

Result<SyntheticModel> ModelOf(const SynthOptions& options) {
  SyntheticModel model;
  if (!options.preset.empty()) {
    auto preset = SyntheticModel::Preset(options.preset);
    if (!preset) return Propagate(preset);
    model = *preset;
  }
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
  if (options.type != "Q4_K_M") {
    model.type = GgmlTypeFromName(options.type);
    if (!model.type || !CanFillRandomBlocks(*model.type)) {
      return Fail(ErrorCode::kInvalidArgument, "type '{}', expected Q4_K_M or a type that runs",
                  options.type);
    }
  }
  return model;
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
  ProgressBar bar;
  write_options.progress = [&bar](double share) { bar.Show(share, "writing"); };
  const Status written = WriteSyntheticModel(*model, options.out, write_options);
  if (!written) return tl::unexpected<Error>(written.error());
  return 0;
}

}  // namespace

void AddSynthCommand(Commands& commands) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* command =
      commands.Add("synth", "Write a Llama model of chosen shapes with random weights",
                   [options] { return Synth(*options); });
  command->add_option("OUT", options->out, "GGUF file to write")->required();
  command->add_option("--preset", options->preset,
                      "Shapes and types of a release: llama-3.1-8b, llama-3.2-1b or llama-3.2-3b");
  command->add_option("--vocab", options->vocabulary,
                      "GGUF file whose tokenizer is copied (default: a generated one)");
  command->add_option("--type", options->type, "Type of all matrices, or the mix Q4_K_M")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the weights")->capture_default_str();
  command->add_option("-t,--threads", options->n_threads, "Threads (default: all allowed)");
  command->add_option("--n-layer", options->n_layer, "Layers");
  command->add_option("--n-embd", options->n_embd, "Width of the residual stream");
  command->add_option("--n-head", options->n_head, "Query heads");
  command->add_option("--n-head-kv", options->n_head_kv, "KV heads");
  command->add_option("--head-dim", options->head_dim, "Elements of a head");
  command->add_option("--n-ff", options->n_ff, "Width of the feed-forward network");
  command->add_option("--n-vocab", options->n_vocab, "Tokens of a generated vocabulary");
  command->add_option("--n-ctx", options->n_ctx_train, "Trained context length to state");
  command->add_flag("--tied", options->tied, "The output matrix is the embedding");
}

}  // namespace quern
