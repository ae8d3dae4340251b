#include "tools/quality/validation_options.h"

#include "tools/options/load_model.h"
#include "tools/options/token_list.h"

namespace quern {

void ValidationOptions::AddTo(CLI::App* command) {
  model_.AddTo(command);
  AddThreadsOption(command, &n_threads_);
  AddLoadOption(command, &load_mode_);
  AddBatchSizeOption(command, &batch_size_);
  cache_type_.AddTo(command);
}

Result<ValidationModel> ValidationOptions::Load(size_t n_ctx) const {
  auto file = model_.Open();
  if (!file) return Propagate(file);
  auto model = LoadModel(*file, {.mode = load_mode_, .n_threads = n_threads_});
  if (!model) return Propagate(model);
  LogitsOptions options;
  options.n_ctx = n_ctx;
  options.n_threads = n_threads_;
  options.chunk_tokens = batch_size_;
  options.kv_types = cache_type_.types();
  auto runner = LogitsRunner::Create(*model, options);
  if (!runner) return Propagate(runner);
  return ValidationModel{std::move(*model), std::move(*runner)};
}

void TokensOptions::AddTo(CLI::App* command) {
  CLI::Option* list = command->add_option("--tokens", list_, "Token ids: 1,2,3");
  command->add_option("--tokens-file", file_, "File of token ids, apart by commas or white space")
      ->type_name("FILE")
      ->excludes(list);
}

Result<std::vector<Token>> TokensOptions::Read() const {
  auto tokens = file_.empty() ? ParseTokens(list_) : ReadTokensFile(file_);
  if (tokens && tokens->empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "no tokens: give --tokens 1,2,3 or --tokens-file FILE");
  }
  return tokens;
}

}  // namespace quern
