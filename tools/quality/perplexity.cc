// `quern perplexity`: how well the model predicts a text, measured as llama-perplexity does.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "gguf/base/read_text.h"
#include "tools/cli/commands.h"
#include "tools/quality/divergence.h"
#include "tools/quality/kld_base_file.h"
#include "tools/quality/scored_chunks.h"
#include "tools/quality/validation_options.h"

namespace quern {
namespace {

struct PerplexityOptions {
  ValidationOptions validation;
  std::string text_file;
  size_t n_ctx = 512;
  size_t n_chunks = 0;  ///< 0: all
  std::string kld_base;
  bool json = false;
};

/// The text's tokens cut to whole chunks, and their shape.
Result<KldBaseShape> CutToChunks(const PerplexityOptions& options, const Model& model,
                                 std::vector<Token>& tokens) {
  KldBaseShape shape{options.n_ctx, model.hparams().n_vocab, tokens.size() / options.n_ctx};
  if (shape.n_chunks == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: {} tokens, expected at least one chunk of {} (-c sets the size)",
                options.text_file, tokens.size(), options.n_ctx);
  }
  if (options.n_chunks > 0) shape.n_chunks = std::min(shape.n_chunks, options.n_chunks);
  tokens.resize(shape.n_chunks * shape.n_ctx);
  return shape;
}

Status ScoreChunks(const PerplexityOptions& options, const KldBaseShape& shape,
                   std::span<const Token> tokens, ValidationModel& loaded, RunningMean& nll) {
  std::optional<KldBaseWriter> base;
  if (!options.kld_base.empty()) {
    auto writer = KldBaseWriter::Create(options.kld_base, shape, tokens);
    if (!writer) return Propagate(writer);
    base.emplace(std::move(*writer));
  }
  std::vector<double> log_probs(shape.n_vocab);
  const auto score = [&](std::span<const float> logits, Token next) -> Status {
    LogSoftmax(logits, log_probs);
    nll.Add(-log_probs[static_cast<size_t>(next)]);
    return base ? base->Write(logits) : Status();
  };
  for (size_t chunk = 0; chunk < shape.n_chunks; ++chunk) {
    Status done = RunScoredChunk(shape, tokens.subspan(chunk * shape.n_ctx, shape.n_ctx),
                                 loaded.model->tokenizer(), *loaded.runner, score);
    if (!done) return done;
    if (!options.json) {
      fmt::print("[{}]{:.4f},", chunk + 1, PerplexityOf(nll).mean);
      std::fflush(stdout);
    }
  }
  return base ? base->Finish() : Status();
}

Result<int> MeasurePerplexity(const PerplexityOptions& options) {
  auto text = ReadText(options.text_file);
  if (!text) return Propagate(text);
  auto loaded = options.validation.Load(options.n_ctx);
  if (!loaded) return Propagate(loaded);
  std::vector<Token> tokens = loaded->model->tokenizer().Encode(*text);
  auto shape = CutToChunks(options, *loaded->model, tokens);
  if (!shape) return Propagate(shape);

  RunningMean nll;
  Status done = ScoreChunks(options, *shape, tokens, *loaded, nll);
  if (!done) return Propagate(done);
  const Estimate perplexity = PerplexityOf(nll);
  if (options.json) {
    const nlohmann::ordered_json json = {{"perplexity", perplexity.mean},
                                         {"error", perplexity.error},
                                         {"scored_tokens", nll.count()},
                                         {"chunks", shape->n_chunks},
                                         {"n_ctx", shape->n_ctx}};
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("\nperplexity {:.4f} +- {:.5f} over {} tokens\n", perplexity.mean, perplexity.error,
               nll.count());
  }
  return 0;
}

}  // namespace

void AddPerplexityCommand(Commands& commands) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command =
      commands.Add("perplexity",
                   "Measure perplexity over the second half of each chunk of a text, as "
                   "llama-perplexity does",
                   [options] { return MeasurePerplexity(*options); });
  options->validation.AddTo(command);
  command->add_option("-f,--file", options->text_file, "The text; - is stdin")
      ->type_name("FILE")
      ->required();
  command->add_option("-c,--ctx-size", options->n_ctx, "Tokens of a chunk")
      ->check(CLI::Range(4, 1 << 24))
      ->capture_default_str();
  command->add_option("--chunks", options->n_chunks, "Chunks to run (default: all)");
  command
      ->add_option("--kl-divergence-base", options->kld_base,
                   "Write the log-probabilities for verify and llama-perplexity")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print the result as JSON");
}

}  // namespace quern
