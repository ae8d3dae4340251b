#include "runtime/text/special_tokens.h"

#include <algorithm>
#include <map>

namespace quern {
namespace {

bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary, bool include_control) : starts_(256) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto token = static_cast<Token>(i);
    const TokenType type = vocabulary.Type(token);
    const std::string_view text = vocabulary.Text(token);
    const bool is_control = type == TokenType::kControl || type == TokenType::kUnknown;
    if (text.empty() || !(type == TokenType::kUserDefined || (include_control && is_control))) {
      continue;
    }
    specials_.push_back({text, token, vocabulary.StripsSpacesAfter(token)});
    starts_[static_cast<unsigned char>(text.front())] = true;
  }
  std::sort(specials_.begin(), specials_.end(),
            [](const Special& a, const Special& b) { return a.text < b.text; });
}

std::vector<SpecialTokens::Occurrence> SpecialTokens::FindAll(std::string_view text) const {
  std::vector<Occurrence> found;
  if (specials_.empty()) return found;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    // Narrows the sorted texts to those that agree with the text so far; one that ends here is
    // first among them.
    auto first = specials_.begin();
    auto last = specials_.end();
    for (size_t depth = 0; begin + depth < text.size(); ++depth) {
      const auto c = static_cast<unsigned char>(text[begin + depth]);
      const auto byte_at_depth = [&](const Special& s) {
        return static_cast<unsigned char>(s.text[depth]);
      };
      first =
          std::partition_point(first, last, [&](const Special& s) { return byte_at_depth(s) < c; });
      last = std::partition_point(first, last,
                                  [&](const Special& s) { return byte_at_depth(s) == c; });
      if (first == last) break;
      if (first->text.size() == depth + 1) {
        found.push_back({begin, &*first});
        if (++first == last) break;
      }
    }
  }
  return found;
}

std::vector<TextFragment> SpecialTokens::Partition(std::string_view text) const {
  std::vector<Occurrence> occurrences = FindAll(text);
  std::sort(occurrences.begin(), occurrences.end(), [](const Occurrence& a, const Occurrence& b) {
    const size_t a_size = a.special->text.size();
    const size_t b_size = b.special->text.size();
    if (a_size != b_size) return a_size > b_size;
    if (a.special->token != b.special->token) return a.special->token < b.special->token;
    return a.begin < b.begin;
  });

  struct Taken {
    size_t end;
    Token token;
  };
  std::map<size_t, Taken> taken;  // by begin
  for (const auto& [begin, special] : occurrences) {
    size_t end = begin + special->text.size();
    const auto next = taken.lower_bound(begin);
    if (next != taken.end() && next->first < end) continue;
    if (next != taken.begin() && std::prev(next)->second.end > begin) continue;
    if (special->strips_spaces_after) {
      const size_t limit = next != taken.end() ? next->first : text.size();
      while (end < limit && IsAsciiSpace(text[end])) ++end;
    }
    taken.emplace_hint(next, begin, Taken{end, special->token});
  }

  std::vector<TextFragment> fragments;
  size_t at = 0;
  const auto add_plain_text = [&](size_t end) {
    if (end > at) fragments.push_back({TextFragment::kPlainText, text.substr(at, end - at)});
  };
  for (const auto& [begin, special] : taken) {
    add_plain_text(begin);
    fragments.push_back({special.token, text.substr(begin, special.end - begin)});
    at = special.end;
  }
  add_plain_text(text.size());
  return fragments;
}

}  // namespace quern
