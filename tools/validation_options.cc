#include "tools/validation_options.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "tools/progress_bar.h"
#include "tools/read_text.h"

namespace quern {

void ValidationOptions::AddTo(CLI::App* command) {
  static const std::map<std::string, KvType> kCacheTypes = {
      {"f16", KvType::kF16}, {"bf16", KvType::kBF16}, {"f32", KvType::kF32}};
  model_.AddTo(command);
  command->add_option("-t,--threads", n_threads_, "Threads (default: all allowed)");
  command->add_option("-b,--batch-size", batch_size_, "Most tokens of one step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--cache-type", cache_type_, "Type of the KV cache: f16, bf16 or f32")
      ->transform(CLI::CheckedTransformer(kCacheTypes, CLI::ignore_case));
}

Result<ValidationModel> ValidationOptions::Load(size_t n_ctx) const {
  auto file = model_.Open();
  if (!file) return Propagate(file);
  LoadOptions load_options;
  load_options.n_threads = n_threads_;
  auto model = [&] {
    ProgressBar bar;
    load_options.progress = [&bar](double share) { bar.Show(share, "loading"); };
    return Model::Load(*file, load_options);
  }();
  if (!model) return Propagate(model);
  LogitsOptions options;
  options.n_ctx = n_ctx;
  options.n_threads = n_threads_;
  options.chunk_tokens = batch_size_;
  options.kv_type = cache_type_;
  auto runner = LogitsRunner::Create(*model, options);
  if (!runner) return Propagate(runner);
  return ValidationModel{std::move(*model), std::move(*runner)};
}

void TokensOptions::AddTo(CLI::App* command) {
  CLI::Option* list = command->add_option("--tokens", list_, "Token ids: 1,2,3");
  command->add_option("--tokens-file", file_, "File of token ids, apart by commas or white space")
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

Result<std::vector<Token>> ParseTokens(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  std::vector<Token> tokens;
  size_t at = 0;
  while ((at = text.find_first_not_of(kSeparators, at)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    Token token = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), token);
    if (error != std::errc() || stop != word.data() + word.size() || token < 0) {
      return Fail(ErrorCode::kInvalidArgument, "'{}' is not a token id", word.substr(0, 40));
    }
    tokens.push_back(token);
    at = end;
  }
  return tokens;
}

Result<std::vector<Token>> ReadTokensFile(const std::string& path) {
  auto text = ReadText(path);
  if (!text) return Propagate(text);
  auto tokens = ParseTokens(*text);
  if (!tokens) return Fail(tokens.error().code, "{}: {}", path, tokens.error().message);
  return tokens;
}

}  // namespace quern
