#include "runtime/text/bpe.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/utf8.h"
#include "runtime/text/byte_alphabet.h"

namespace quern {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kNoSymbol = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kNoPair = std::numeric_limits<uint64_t>::max();
constexpr int32_t kMergedAway = -1;

/// Below this many symbols, looking through all ranks for the lowest is quicker than a heap.
constexpr size_t kSmallPiece = 32;

uint64_t PairOf(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

/// Fibonacci hashing: the high bits of the product are well mixed.
size_t HashOf(uint64_t pair) { return static_cast<size_t>(pair * 0x9E3779B97F4A7C15U >> 32); }

}  // namespace

BpeModel::BpeModel(const Vocabulary& vocabulary, size_t n_merges)
    : n_tokens_(vocabulary.size()), symbols_(vocabulary.size()) {
  size_t n_slots = 16;
  while (3 * n_merges > 2 * n_slots) n_slots *= 2;
  merges_.resize(n_slots, {kNoPair, kNoRank, 0});

  // One buffer for all tokens: spelled bytes are never more than the text's.
  size_t n_bytes = 0;
  for (size_t i = 0; i < n_tokens_; ++i) n_bytes += vocabulary.Text(static_cast<Token>(i)).size();
  std::string& bytes = owned_bytes_.emplace_back();
  bytes.reserve(n_bytes + 1);
  symbol_bytes_.reserve(n_tokens_ + 256);
  for (size_t i = 0; i < n_tokens_; ++i) {
    const auto token = static_cast<Token>(i);
    const std::string_view text = vocabulary.Text(token);
    const size_t begin = bytes.size();
    const bool is_spelled = AppendSpelledBytes(text, bytes);
    if (!is_spelled) bytes += text;
    symbol_bytes_.emplace_back(bytes.data() + begin, bytes.size() - begin);
    if (is_spelled && !text.empty()) symbols_.Insert(symbol_bytes_.back(), token);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    symbol_of_byte_[byte] = AddSymbol({&c, 1});
    const bool spells_itself = byte < 0x80 && ByteOfCharacter(byte) == byte;
    const bool is_token = static_cast<size_t>(symbol_of_byte_[byte]) < n_tokens_;
    fallback_of_byte_[byte] = spells_itself && is_token ? symbol_of_byte_[byte] : kMergedAway;
  }
}

Result<BpeModel> BpeModel::Load(const GgufFile& file, const Vocabulary& vocabulary,
                                bool ignore_merges) {
  constexpr std::string_view kKey = "tokenizer.ggml.merges";
  auto merges = file.GetStrings(kKey);
  if (!merges) return Propagate(merges);
  if (merges->size() >= kNoRank) {
    return Fail(ErrorCode::kCorruptFile, "{}: {} has {} merges; fewer than {} expected",
                file.name(), kKey, merges->size(), kNoRank);
  }
  BpeModel model(vocabulary, merges->size());
  model.ignore_merges_ = ignore_merges;
  std::string bytes;  // of both sides, one after the other
  for (size_t i = 0; i < merges->size(); ++i) {
    const std::string_view line = (*merges)[i];
    const size_t space = line.find(' ', 1);
    bytes.clear();
    const bool has_left =
        space != std::string_view::npos && AppendSpelledBytes(line.substr(0, space), bytes);
    const size_t left_size = bytes.size();
    if (!has_left || !AppendSpelledBytes(line.substr(space + 1), bytes) ||
        bytes.size() == left_size) {
      return Fail(
          ErrorCode::kCorruptFile,
          "{}: {}[{}] is '{}'; two texts of the byte alphabet with a space between them expected",
          file.name(), kKey, i, line);
    }
    const std::string_view both = bytes;
    const int32_t left = model.AddSymbol(both.substr(0, left_size));
    const int32_t right = model.AddSymbol(both.substr(left_size));
    model.AddMerge(left, right, static_cast<uint32_t>(i), model.AddSymbol(both));
  }
  return model;
}

int32_t BpeModel::AddSymbol(std::string_view bytes) {
  const int32_t known = symbols_.Find(bytes);
  if (known != TextIndex::kNone) return known;
  const auto id = static_cast<int32_t>(symbol_bytes_.size());
  symbol_bytes_.push_back(owned_bytes_.emplace_back(bytes));
  symbols_.Insert(symbol_bytes_.back(), id);
  return id;
}

void BpeModel::AddMerge(int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  const uint64_t pair = PairOf(left, right);
  const size_t mask = merges_.size() - 1;
  size_t at = HashOf(pair) & mask;
  while (merges_[at].pair != kNoPair && merges_[at].pair != pair) at = (at + 1) & mask;
  // Of repeated merges the first counts.
  if (merges_[at].pair == kNoPair) merges_[at] = {pair, rank, merged};
}

const BpeModel::Merge* BpeModel::FindMerge(int32_t left, int32_t right) const {
  const uint64_t pair = PairOf(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t at = HashOf(pair) & mask; merges_[at].pair != kNoPair; at = (at + 1) & mask) {
    if (merges_[at].pair == pair) return &merges_[at];
  }
  return nullptr;
}

void BpeModel::AppendToken(int32_t symbol, std::vector<Token>& out) const {
  if (static_cast<size_t>(symbol) < n_tokens_) {
    out.push_back(symbol);
    return;
  }
  for (const char c : symbol_bytes_[symbol]) {
    const Token token = fallback_of_byte_[static_cast<unsigned char>(c)];
    if (token != kMergedAway) out.push_back(token);
  }
}

void BpeModel::Encode(std::string_view piece, Workspace& workspace, std::vector<Token>& out) const {
  QUERN_DCHECK(piece.size() < kNoSymbol);
  if (piece.empty()) return;
  if (ignore_merges_) {
    const int32_t symbol = symbols_.Find(piece);
    if (symbol != TextIndex::kNone && static_cast<size_t>(symbol) < n_tokens_) {
      out.push_back(symbol);
      return;
    }
  }
  auto& symbols = workspace.symbols;
  const auto n = static_cast<uint32_t>(piece.size());
  symbols.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    symbols[i].id = symbol_of_byte_[static_cast<unsigned char>(piece[i])];
    symbols[i].previous = i - 1;  // kNoSymbol of the first
    symbols[i].next = i + 1 < n ? i + 1 : kNoSymbol;
  }

  // A candidate is rank << 32 | index of the left symbol: the smallest is the lowest rank,
  // leftmost. One whose symbol has another rank by now is outdated.
  const bool is_small = n <= kSmallPiece;
  auto& heap = workspace.candidates;
  heap.clear();
  const auto update_rank = [&](uint32_t left) {
    auto& symbol = symbols[left];
    symbol.rank = kNoRank;
    if (symbol.next == kNoSymbol) return;
    if (const Merge* merge = FindMerge(symbol.id, symbols[symbol.next].id)) {
      symbol.rank = merge->rank;
      if (!is_small) heap.push_back(static_cast<uint64_t>(merge->rank) << 32 | left);
    }
  };
  for (uint32_t i = 0; i < n; ++i) update_rank(i);
  if (!is_small) std::make_heap(heap.begin(), heap.end(), std::greater<>());

  const auto next_left = [&]() -> uint32_t {
    if (is_small) {
      uint32_t best = 0;
      for (uint32_t i = 1; i < n; ++i) {
        if (symbols[i].rank < symbols[best].rank) best = i;
      }
      return symbols[best].rank == kNoRank ? kNoSymbol : best;
    }
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      const uint64_t candidate = heap.back();
      heap.pop_back();
      const auto left = static_cast<uint32_t>(candidate);
      if (symbols[left].rank == candidate >> 32) return left;
    }
    return kNoSymbol;
  };
  const auto update_and_push = [&](uint32_t left) {
    const size_t size_before = heap.size();
    update_rank(left);
    if (heap.size() > size_before) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };

  for (uint32_t left = next_left(); left != kNoSymbol; left = next_left()) {
    auto& symbol = symbols[left];
    auto& absorbed = symbols[symbol.next];
    symbol.id = FindMerge(symbol.id, absorbed.id)->merged;
    absorbed.id = kMergedAway;
    absorbed.rank = kNoRank;
    symbol.next = absorbed.next;
    if (symbol.next != kNoSymbol) symbols[symbol.next].previous = left;
    update_and_push(left);
    if (symbol.previous != kNoSymbol) update_and_push(symbol.previous);
  }
  for (uint32_t i = 0; i < n; i = symbols[i].next) AppendToken(symbols[i].id, out);
}

}  // namespace quern
