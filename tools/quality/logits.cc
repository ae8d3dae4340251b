// `quern logits`: the logits of every position of a text of tokens, as .npy.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <span>
#include <string>

#include "gguf/base/output_file.h"
#include "tools/cli/commands.h"
#include "tools/quality/npy.h"
#include "tools/quality/validation_options.h"

namespace quern {
namespace {

struct LogitsCommandOptions {
  ValidationOptions validation;
  TokensOptions tokens;
  std::string out;
};

Result<int> WriteLogits(const LogitsCommandOptions& options) {
  auto tokens = options.tokens.Read();
  if (!tokens) return Propagate(tokens);
  auto loaded = options.validation.Load(tokens->size());
  if (!loaded) return Propagate(loaded);
  auto writer = NpyWriter::Create(options.out, tokens->size(), loaded->model->hparams().n_vocab);
  if (!writer) return Propagate(writer);
  // The tokens beside the logits, where `quern verify` looks for them.
  const std::string lines = fmt::format("{}\n", fmt::join(*tokens, "\n"));
  auto tokens_file = OutputFile::Create(options.out + ".tokens", lines.size());
  if (!tokens_file) return Propagate(tokens_file);

  Status done = tokens_file->Write(std::as_bytes(std::span(lines)));
  if (done) {
    done = loaded->runner->Run(
        *tokens, 0, [&](size_t, std::span<const float> row) { return writer->Write(row); });
  }
  if (done) done = writer->Finish();
  if (done) done = tokens_file->Commit();
  if (!done) return Propagate(done);
  return 0;
}

}  // namespace

void AddLogitsCommand(Commands& commands) {
  auto options = std::make_shared<LogitsCommandOptions>();
  CLI::App* command =
      commands.Add("logits", "Write the logits of every position as .npy, and the tokens beside it",
                   [options] { return WriteLogits(*options); });
  options->validation.AddTo(command);
  options->tokens.AddTo(command);
  command->add_option("-o,--output", options->out, "File: float32 [positions, vocabulary]")
      ->type_name("FILE")
      ->required();
}

}  // namespace quern
