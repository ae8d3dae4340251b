#include "runtime/spm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <queue>

#include "gguf/check.h"
#include "runtime/utf8.h"

namespace quern {
namespace {

constexpr uint32_t kNoSymbol = std::numeric_limits<uint32_t>::max();
constexpr Token kNoToken = -1;

/// A character, or the characters merged into it.
struct Symbol {
  uint32_t begin;
  uint32_t size;  // 0: merged into the one before
  uint32_t previous;
  uint32_t next;
};

/// Two neighbours that could merge. Outdated when their sizes no longer add up to `size`.
struct Candidate {
  float score;
  uint32_t left;
  uint32_t right;
  uint32_t size;

  /// std::priority_queue gives the greatest: highest score, then leftmost.
  bool operator<(const Candidate& other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

/// Bytes that the lead byte announces. Continuation bytes stand alone: text may be invalid.
uint32_t AnnouncedLength(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xC0 ? 1 : static_cast<uint32_t>(Utf8Length(lead));
}

}  // namespace

SpmModel::SpmModel(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    longest_token_ = std::max(longest_token_, vocabulary.Text(static_cast<Token>(i)).size());
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    auto token = vocabulary.Find(fmt::format("<0x{:02X}>", byte));
    if (!token) token = vocabulary.Find({&c, 1});
    if (!token) token = vocabulary.unknown();
    token_of_byte_[byte] = token.value_or(kNoToken);
  }
}

void SpmModel::Encode(std::string_view text, std::vector<Token>& out) const {
  QUERN_DCHECK(text.size() < kNoSymbol);
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto i = static_cast<uint32_t>(symbols.size());
    const auto begin = static_cast<uint32_t>(at);
    const auto left = static_cast<uint32_t>(text.size()) - begin;
    const uint32_t size = std::min(AnnouncedLength(text[at]), left);
    symbols.push_back({begin, size, i - 1, size == left ? kNoSymbol : i + 1});
    at += size;
  }

  std::vector<Candidate> seeds;
  const auto candidate_at = [&](uint32_t left) -> std::optional<Candidate> {
    const Symbol& symbol = symbols[left];
    if (symbol.next == kNoSymbol) return std::nullopt;
    const uint32_t size = symbol.size + symbols[symbol.next].size;
    if (size > longest_token_) return std::nullopt;
    const auto token = vocabulary_->Find(text.substr(symbol.begin, size));
    if (!token) return std::nullopt;
    return Candidate{vocabulary_->Score(*token), left, symbol.next, size};
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    if (const auto candidate = candidate_at(i)) seeds.push_back(*candidate);
  }

  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(seeds));
  const auto push = [&](uint32_t left) {
    if (left == kNoSymbol) return;
    if (const auto candidate = candidate_at(left)) queue.push(*candidate);
  };
  while (!queue.empty()) {
    const Candidate merge = queue.top();
    queue.pop();
    Symbol& left = symbols[merge.left];
    Symbol& right = symbols[merge.right];
    if (left.size == 0 || right.size == 0 || left.size + right.size != merge.size) continue;
    left.size = merge.size;
    right.size = 0;
    left.next = right.next;
    if (left.next != kNoSymbol) symbols[left.next].previous = merge.left;
    push(left.previous);
    push(merge.left);
  }

  for (const Symbol& symbol : symbols) {
    if (symbol.size == 0) continue;
    const std::string_view piece = text.substr(symbol.begin, symbol.size);
    if (const auto token = vocabulary_->Find(piece)) {
      out.push_back(*token);
      continue;
    }
    for (const char c : piece) {
      const Token token = token_of_byte_[static_cast<unsigned char>(c)];
      if (token != kNoToken) out.push_back(token);
    }
  }
}

}  // namespace quern
