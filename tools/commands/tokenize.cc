// `quern tokenize`: shows how a vocabulary cuts a text into tokens. Reads the vocabulary alone, so
// that files without tensors will do.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"
#include "runtime/text/tokenizer.h"
#include "tools/cli/commands.h"
#include "tools/options/model_argument.h"

namespace quern {
namespace {

struct TokenizeOptions {
  ModelArgument model;
  std::string text;
  CLI::Option* text_option = nullptr;
  std::string file;
  bool no_bos = false;
  bool parse_special = false;
  bool ids = false;
  bool json = false;
  bool count = false;
};

Result<std::string> TextOf(const TokenizeOptions& options) {
  if (options.text_option->count() > 0) return options.text;
  if (!options.file.empty()) return ReadText(options.file);
  if (isatty(STDIN_FILENO) == 1) {
    return Fail(ErrorCode::kInvalidArgument, "no text: give one with -p TEXT, -f FILE or on stdin");
  }
  return ReadText("-");
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// The text, or a list of bytes for a piece that is part of a character only.
nlohmann::json PieceToJson(const std::string& piece) {
  if (IsUtf8(piece)) return piece;
  nlohmann::json bytes = nlohmann::json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

void Print(const TokenizeOptions& options, const Tokenizer& tokenizer,
           const std::vector<Token>& tokens) {
  const auto piece_of = [&](Token token) { return tokenizer.Piece(token, true); };
  if (options.count) {
    fmt::print("{}\n", tokens.size());
  } else if (options.ids) {
    fmt::print("{}\n", fmt::join(tokens, " "));
  } else if (options.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Token token : tokens) {
      list.push_back({{"id", token}, {"piece", PieceToJson(piece_of(token))}});
    }
    const nlohmann::ordered_json all = {{"count", tokens.size()}, {"tokens", std::move(list)}};
    fmt::print("{}\n", all.dump(2));
  } else {
    for (const Token token : tokens) {
      fmt::print("{:>7}  {}\n", token, Quoted(piece_of(token), std::string::npos));
    }
  }
}

Result<int> Run(const TokenizeOptions& options) {
  auto text = TextOf(options);
  if (!text) return Propagate(text);
  auto file = options.model.Open();
  if (!file) return Propagate(file);
  auto tokenizer = Tokenizer::Load(*file);
  if (!tokenizer) return Propagate(tokenizer);
  Print(options, *tokenizer,
        tokenizer->Encode(
            *text, {.add_special = !options.no_bos, .parse_special = options.parse_special}));
  return 0;
}

}  // namespace

void AddTokenizeCommand(Commands& commands) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command =
      commands.Add("tokenize", "Show the tokens of a text", [options] { return Run(*options); });
  options->model.AddTo(command);
  options->text_option = command->add_option("-p,--prompt", options->text, "The text");
  command->add_option("-f,--file", options->file, "File with the text; - is stdin, the default")
      ->type_name("FILE")
      ->excludes(options->text_option);
  command->add_flag("--no-bos", options->no_bos, "Add neither BOS nor EOS");
  command->add_flag("--parse-special", options->parse_special,
                    "Take the texts of control tokens, as <|eot_id|>, for those tokens");
  CLI::Option* ids = command->add_flag("--ids", options->ids, "Print ids alone, on one line");
  CLI::Option* json = command->add_flag("--json", options->json, "Print ids and pieces as JSON");
  CLI::Option* count =
      command->add_flag("--count", options->count, "Print the number of tokens alone");
  ids->excludes(json);
  ids->excludes(count);
  json->excludes(count);
}

}  // namespace quern
