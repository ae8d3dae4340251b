#include "runtime/text/spm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "gguf/base/check.h"
#include "gguf/base/utf8.h"

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

  /// A heap gives the greatest: highest score, then leftmost.
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

/// Kept between parts, so that they need no memory of their own.
struct SpmModel::Workspace {
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

SpmModel::SpmModel(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const std::string_view text = vocabulary.Text(static_cast<Token>(i));
    longest_token_ = std::max(longest_token_, text.size());
    for (size_t at = text.find(kEscapedSpace, 1); at != std::string_view::npos;
         at = text.find(kEscapedSpace, at + 1)) {
      joins_space_[static_cast<unsigned char>(text[at - 1])] = true;
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    auto token = vocabulary.Find(fmt::format("<0x{:02X}>", byte));
    if (!token) token = vocabulary.Find({&c, 1});
    if (!token) token = vocabulary.unknown();
    token_of_byte_[byte] = token.value_or(kNoToken);
  }
}

size_t SpmModel::EndOfPart(std::string_view text, size_t begin) const {
  // By characters, since a broken one may announce more bytes than it has and take part of a space.
  size_t at = begin + AnnouncedLength(text[begin]);
  for (; at < text.size(); at += AnnouncedLength(text[at])) {
    const bool is_space = text.substr(at, kEscapedSpace.size()) == kEscapedSpace;
    if (is_space && !joins_space_[static_cast<unsigned char>(text[at - 1])]) return at;
  }
  return text.size();
}

void SpmModel::Encode(std::string_view text, std::vector<Token>& out) const {
  Workspace workspace;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = EndOfPart(text, begin);
    EncodePart(text.substr(begin, end - begin), workspace, out);
    begin = end;
  }
}

void SpmModel::EncodePart(std::string_view text, Workspace& workspace,
                          std::vector<Token>& out) const {
  QUERN_DCHECK(text.size() < kNoSymbol);
  auto& symbols = workspace.symbols;
  symbols.clear();
  for (size_t at = 0; at < text.size();) {
    const auto i = static_cast<uint32_t>(symbols.size());
    const auto begin = static_cast<uint32_t>(at);
    const auto left = static_cast<uint32_t>(text.size()) - begin;
    const uint32_t size = std::min(AnnouncedLength(text[at]), left);
    symbols.push_back({begin, size, i - 1, size == left ? kNoSymbol : i + 1});
    at += size;
  }

  auto& heap = workspace.heap;
  heap.clear();
  const auto add_candidate = [&](uint32_t left) {
    if (left == kNoSymbol || symbols[left].next == kNoSymbol) return false;
    const Symbol& symbol = symbols[left];
    const uint32_t size = symbol.size + symbols[symbol.next].size;
    if (size > longest_token_) return false;
    const auto token = vocabulary_->Find(text.substr(symbol.begin, size));
    if (token) heap.push_back({vocabulary_->Score(*token), left, symbol.next, size});
    return token.has_value();
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) add_candidate(i);
  std::make_heap(heap.begin(), heap.end());

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate merge = heap.back();
    heap.pop_back();
    Symbol& left = symbols[merge.left];
    Symbol& right = symbols[merge.right];
    if (left.size == 0 || right.size == 0 || left.size + right.size != merge.size) continue;
    left.size = merge.size;
    right.size = 0;
    left.next = right.next;
    if (left.next != kNoSymbol) symbols[left.next].previous = merge.left;
    if (add_candidate(left.previous)) std::push_heap(heap.begin(), heap.end());
    if (add_candidate(merge.left)) std::push_heap(heap.begin(), heap.end());
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
