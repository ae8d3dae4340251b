#include "tools/options/token_list.h"

#include <algorithm>

#include "gguf/base/parse_number.h"
#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"

namespace quern {

Result<std::vector<Token>> ParseTokens(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\r\n[]";
  std::vector<Token> tokens;
  size_t at = 0;
  while ((at = text.find_first_not_of(kSeparators, at)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const auto token = ParseNumber<Token>(word);
    if (!token || *token < 0) {
      return Fail(ErrorCode::kInvalidArgument, "{} is not a token id", Quoted(word));
    }
    tokens.push_back(*token);
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
