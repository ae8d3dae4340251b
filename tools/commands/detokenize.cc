// `quern detokenize`: the text of a list of token ids.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gguf/base/read_text.h"
#include "runtime/text/tokenizer.h"
#include "tools/cli/commands.h"
#include "tools/options/model_argument.h"
#include "tools/options/token_list.h"

namespace quern {
namespace {

struct DetokenizeOptions {
  ModelArgument model;
  std::vector<std::string> words;  // ids, after the model's path if there is one
  std::string file;
  bool special = false;
  bool json = false;
};

bool LooksLikeIds(const std::string& word) {
  return word.find_first_not_of("0123456789 \t\r\n,[]") == std::string::npos;
}

Status CheckVocabulary(const std::vector<Token>& ids, size_t n_vocab) {
  for (const Token id : ids) {
    if (static_cast<size_t>(id) >= n_vocab) {
      return Fail(ErrorCode::kInvalidArgument, "token {}; ids are 0 to {}", id, n_vocab - 1);
    }
  }
  return {};
}

Result<int> Run(DetokenizeOptions options) {
  // "detokenize model.gguf 1 2" and "detokenize 1 2" differ in their first word alone.
  if (!options.model.is_given() && !options.words.empty() && !LooksLikeIds(options.words.front())) {
    options.model.set_path(options.words.front());
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
  auto file = options.model.Open();
  if (!file) return Propagate(file);
  auto tokenizer = Tokenizer::Load(*file);
  if (!tokenizer) return Propagate(tokenizer);
  auto ids = ParseTokens(ids_text);
  if (!ids) return Propagate(ids);
  if (Status known = CheckVocabulary(*ids, tokenizer->n_vocab()); !known) return Propagate(known);

  std::string text = tokenizer->Decode(*ids, options.special);
  if (options.json) {
    const nlohmann::ordered_json json = {{"count", ids->size()}, {"text", text}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
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
  options->model.AddNamedTo(command);
  command->add_option("IDS", options->words,
                      "Token ids, after the model's path if one is given here");
  command->add_option("-f,--file", options->file, "File with the ids; - is stdin, the default")
      ->type_name("FILE");
  command->add_flag("--special", options->special, "Show control tokens too");
  command->add_flag("--json", options->json,
                    "Print the text as JSON, with U+FFFD for bytes that are not UTF-8");
}

}  // namespace quern
