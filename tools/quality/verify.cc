// `quern verify`: compares the model's logits with reference logits from elsewhere.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tools/cli/commands.h"
#include "tools/options/token_list.h"
#include "tools/quality/divergence.h"
#include "tools/quality/kld_base_file.h"
#include "tools/quality/npy.h"
#include "tools/quality/scored_chunks.h"
#include "tools/quality/validation_options.h"

namespace quern {
namespace {

struct VerifyOptions {
  ValidationOptions validation;
  TokensOptions tokens;
  std::string reference;
  std::optional<double> max_mean_kl;
  std::optional<double> max_kl;
  std::optional<double> min_top1;
  std::optional<double> max_perplexity_ratio;
  bool json = false;
};

Status CheckVocabulary(const VerifyOptions& options, size_t found, const Model& model) {
  if (found == model.hparams().n_vocab) return {};
  return Fail(ErrorCode::kInvalidArgument, "{}: a vocabulary of {}, expected the model's {}",
              options.reference, found, model.hparams().n_vocab);
}

Result<DivergenceSummary> CompareWithNpy(const VerifyOptions& options) {
  auto reader = NpyReader::Open(options.reference);
  if (!reader) return Propagate(reader);
  auto tokens = options.tokens.given() ? options.tokens.Read()
                                       : ReadTokensFile(options.reference + ".tokens");
  if (!tokens) {
    return Fail(tokens.error().code, "{} (the tokens of the reference: --tokens, --tokens-file)",
                tokens.error().message);
  }
  if (tokens->size() != reader->rows() || tokens->empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} positions, but {} tokens were given",
                options.reference, reader->rows(), tokens->size());
  }
  auto loaded = options.validation.Load(tokens->size());
  if (!loaded) return Propagate(loaded);
  if (Status same = CheckVocabulary(options, reader->cols(), *loaded->model); !same) {
    return Propagate(same);
  }

  Divergence divergence;
  std::vector<float> reference(reader->cols());
  std::vector<double> reference_log_probs(reader->cols());
  const Status done = loaded->runner->Run(
      *tokens, 0, [&](size_t position, std::span<const float> logits) -> Status {
        if (Status read = reader->Read(reference); !read) return read;
        LogSoftmax(reference, reference_log_probs);
        const bool has_next = position + 1 < tokens->size();
        return divergence.Add(reference_log_probs, logits,
                              has_next ? std::optional((*tokens)[position + 1]) : std::nullopt);
      });
  if (!done) return tl::unexpected<Error>(done.error());
  return divergence.Summarize();
}

Result<DivergenceSummary> CompareWithKldBase(const VerifyOptions& options) {
  auto reader = KldBaseReader::Open(options.reference);
  if (!reader) return Propagate(reader);
  if (options.tokens.given()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: holds its own tokens, --tokens and --tokens-file do not go with it",
                options.reference);
  }
  const KldBaseShape& shape = reader->shape();
  auto loaded = options.validation.Load(shape.n_ctx);
  if (!loaded) return Propagate(loaded);
  if (Status same = CheckVocabulary(options, shape.n_vocab, *loaded->model); !same) {
    return Propagate(same);
  }

  Divergence divergence(kKldBaseFloor);
  std::vector<double> reference_log_probs(shape.n_vocab);
  const auto compare = [&](std::span<const float> logits, Token next) -> Status {
    if (Status read = reader->Read(reference_log_probs); !read) return read;
    return divergence.Add(reference_log_probs, logits, next);
  };
  for (size_t chunk = 0; chunk < shape.n_chunks; ++chunk) {
    const auto tokens = reader->tokens().subspan(chunk * shape.n_ctx, shape.n_ctx);
    Status done =
        RunScoredChunk(shape, tokens, loaded->model->tokenizer(), *loaded->runner, compare);
    if (!done) return Propagate(done);
  }
  return divergence.Summarize();
}

void PrintSummary(const DivergenceSummary& summary) {
  fmt::print("positions         {}\n", summary.n_positions);
  fmt::print("mean KL           {:.3e} +- {:.1e} nats\n", summary.kl.mean, summary.kl.error);
  fmt::print("median KL         {:.3e}\n", summary.median_kl);
  fmt::print("99% KL            {:.3e}\n", summary.p99_kl);
  fmt::print("maximum KL        {:.3e}\n", summary.max_kl);
  fmt::print("top-1 agreement   {:.3f}%\n", 100 * summary.top1_agreement);
  if (summary.n_scored == 0) return;
  fmt::print("perplexity        {:.5f} +- {:.5f}\n", summary.perplexity.mean,
             summary.perplexity.error);
  fmt::print("  of reference    {:.5f} +- {:.5f}\n", summary.reference_perplexity.mean,
             summary.reference_perplexity.error);
  fmt::print("  ratio           {:.6f}\n", summary.perplexity_ratio);
}

void PrintJson(const DivergenceSummary& summary, const std::vector<std::string>& broken) {
  nlohmann::ordered_json json = {{"positions", summary.n_positions},
                                 {"mean_kl", summary.kl.mean},
                                 {"mean_kl_error", summary.kl.error},
                                 {"median_kl", summary.median_kl},
                                 {"p99_kl", summary.p99_kl},
                                 {"max_kl", summary.max_kl},
                                 {"top1_agreement", summary.top1_agreement}};
  if (summary.n_scored > 0) {
    json["perplexity"] = summary.perplexity.mean;
    json["reference_perplexity"] = summary.reference_perplexity.mean;
    json["perplexity_ratio"] = summary.perplexity_ratio;
  }
  json["broken_thresholds"] = broken;
  fmt::print("{}\n", json.dump(2));
}

/// The thresholds that do not hold; NaN holds none.
std::vector<std::string> BrokenThresholds(const VerifyOptions& options,
                                          const DivergenceSummary& summary) {
  std::vector<std::string> broken;
  const auto at_most = [&](std::string_view what, double found, std::optional<double> most) {
    if (most && !(found <= *most)) {
      broken.push_back(fmt::format("{} {:.3e} is above {:g}", what, found, *most));
    }
  };
  at_most("mean KL", summary.kl.mean, options.max_mean_kl);
  at_most("maximum KL", summary.max_kl, options.max_kl);
  if (options.min_top1 && !(summary.top1_agreement >= *options.min_top1)) {
    broken.push_back(fmt::format("top-1 agreement {:.5f} is below {:g}", summary.top1_agreement,
                                 *options.min_top1));
  }
  if (summary.n_scored > 0) {
    at_most("perplexity ratio", summary.perplexity_ratio, options.max_perplexity_ratio);
  } else if (options.max_perplexity_ratio) {
    broken.emplace_back("perplexity ratio cannot be measured: no position's next token is known");
  }
  return broken;
}

Result<int> Verify(const VerifyOptions& options) {
  auto summary = KldBaseReader::Matches(options.reference) ? CompareWithKldBase(options)
                                                           : CompareWithNpy(options);
  if (!summary) return Propagate(summary);
  const std::vector<std::string> broken = BrokenThresholds(options, *summary);
  if (options.json) {
    PrintJson(*summary, broken);
  } else {
    PrintSummary(*summary);
  }
  if (!broken.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}", fmt::join(broken, "; "));
  }
  return 0;
}

}  // namespace

void AddVerifyCommand(Commands& commands) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = commands.Add(
      "verify", "Compare logits with a reference: KL divergence, top-1 agreement, perplexity",
      [options] { return Verify(*options); });
  options->validation.AddTo(command);
  command
      ->add_option("--reference", options->reference,
                   ".npy of logits, float32 [positions, vocabulary], with its tokens in "
                   "FILE.tokens or given; or a file of llama-perplexity --kl-divergence-base")
      ->type_name("FILE")
      ->required();
  options->tokens.AddTo(command);
  command->add_option("--max-mean-kl", options->max_mean_kl, "Fail above this mean KL divergence");
  command->add_option("--max-kl", options->max_kl, "Fail above this KL divergence of any position");
  command->add_option("--min-top1", options->min_top1, "Fail below this agreement, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--max-perplexity-ratio", options->max_perplexity_ratio,
                      "Fail above this ratio of perplexities");
  command->add_flag("--json", options->json, "Print the result as JSON");
}

}  // namespace quern
