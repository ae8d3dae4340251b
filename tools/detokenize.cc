// `quern detokenize`: the text of a list of token ids.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/printable.h"
#include "runtime/tokenizer.h"
#include "tools/commands.h"
#include "tools/model_argument.h"
#include "tools/read_text.h"

namespace quern {
namespace {

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> words;  // ids, after the model's path if there is one
  std::string file;
  bool special = false;
};

constexpr std::string_view kSeparators = " \t\r\n,[]";

bool LooksLikeIds(const std::string& word) {
  return word.find_first_not_of("0123456789" + std::string(kSeparators)) == std::string::npos;
}

/// Ids with spaces, commas or brackets around them.
Result<std::vector<Token>> ParseIds(std::string_view text, size_t n_vocab) {
  std::vector<Token> ids;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kSeparators), text.size()));
    if (text.empty()) return ids;
    const std::string_view word = text.substr(0, text.find_first_of(kSeparators));
    Token id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 ||
        static_cast<size_t>(id) >= n_vocab) {
      return Fail(ErrorCode::kInvalidArgument, "token {}; ids are 0 to {}", Quoted(word),
                  n_vocab - 1);
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
}

Result<int> Run(DetokenizeOptions options) {
  // "detokenize model.gguf 1 2" and "detokenize 1 2" differ in their first word alone.
  if (options.model.empty() && !options.words.empty() && !LooksLikeIds(options.words.front())) {
    options.model = options.words.front();
    options.words.erase(options.words.begin());
  }
  std::string ids_text = fmt::format("{}", fmt::join(options.words, " "));
  if (!options.words.empty() && !options.file.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "ids as arguments and in a file: give one of them");
  }
  if (options.words.empty()) {
    if (options.file.empty() && isatty(STDIN_FILENO) == 1) {
      return Fail(ErrorCode::kInvalidArgument,
                  "no ids: give them as arguments, with -f FILE or on stdin");
    }
    auto read = ReadText(options.file.empty() ? "-" : options.file);
    if (!read) return Propagate(read);
    ids_text = std::move(*read);
  }
  auto file = ModelArgument(options.model).Open();
  if (!file) return Propagate(file);
  auto tokenizer = Tokenizer::Load(*file);
  if (!tokenizer) return Propagate(tokenizer);
  auto ids = ParseIds(ids_text, tokenizer->n_vocab());
  if (!ids) return Propagate(ids);

  std::string text = tokenizer->Decode(*ids, options.special);
  // Into a file or a pipe goes the text to the byte.
  if (isatty(STDOUT_FILENO) == 1) text += '\n';
  fmt::print("{}", text);
  return 0;
}

}  // namespace

void AddDetokenizeCommand(Commands& commands) {
  auto options = std::make_shared<DetokenizeOptions>();
  CLI::App* command =
      commands.Add("detokenize", "Show the text of token ids", [options] { return Run(*options); });
  command->add_option("-m,--model", options->model,
                      "GGUF file of the model (default: the built-in demo model)");
  command->add_option("IDS", options->words,
                      "Token ids, after the model's path if one is given here");
  command->add_option("-f,--file", options->file, "File with the ids; - is stdin, the default");
  command->add_flag("--special", options->special, "Show control tokens too");
}

}  // namespace quern
