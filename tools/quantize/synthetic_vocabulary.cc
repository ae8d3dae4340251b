#include "tools/quantize/synthetic_vocabulary.h"

#include <array>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "gguf/base/check.h"
#include "runtime/text/byte_alphabet.h"

namespace quern {
namespace {

// Token types of GGUF.
constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;

// Frequent characters of English first: tokens merge with those before them, so early ones make up
// the long ones.
constexpr std::string_view kFrequentBytes = " etaoinshrdlcumwfgypbvk.,0123456789TAISWH\n";

constexpr std::string_view kChatTemplate =
    "{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message.role + "
    "'<|end_header_id|>\n\n' + message.content + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{%- endif %}";

std::string Utf8(uint32_t code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 63))};
}

// The character that stands for each byte in byte-level BPE.
std::array<std::string, 256> ByteCharacters() {
  constexpr uint32_t kEndOfAlphabet = 256 + 68;
  std::array<std::string, 256> characters;
  for (uint32_t character = 0; character < kEndOfAlphabet; ++character) {
    const int byte = ByteOfCharacter(character);
    if (byte >= 0) characters[static_cast<size_t>(byte)] = Utf8(character);
  }
  return characters;
}

std::vector<std::string> ByteTokens() {
  const std::array<std::string, 256> characters = ByteCharacters();
  std::vector<std::string> tokens;
  std::array<bool, 256> taken{};
  for (const char c : kFrequentBytes) {
    const auto byte = static_cast<unsigned char>(c);
    tokens.push_back(characters[byte]);
    taken[byte] = true;
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (!taken[byte]) tokens.push_back(characters[byte]);
  }
  return tokens;
}

// Pairs of tokens in order of the later one, until there are `n` tokens.
std::vector<std::string> AddMerges(size_t n, std::vector<std::string>& tokens) {
  std::vector<std::string> merges;
  std::unordered_set<std::string> known(tokens.begin(), tokens.end());
  const auto merge = [&](size_t left, size_t right) {
    std::string merged = tokens[left] + tokens[right];
    if (tokens.size() == n || !known.insert(merged).second) return;
    merges.push_back(tokens[left] + ' ' + tokens[right]);
    tokens.push_back(std::move(merged));
  };
  for (size_t later = 0; tokens.size() < n; ++later) {
    for (size_t earlier = 0; earlier < later; ++earlier) {
      merge(earlier, later);
      merge(later, earlier);
    }
    merge(later, later);
  }
  return merges;
}

std::vector<std::string> SpecialTokens(size_t n) {
  std::vector<std::string> special = {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>",
                                      "<|start_header_id|>", "<|end_header_id|>"};
  while (special.size() < n) {
    special.push_back(fmt::format("<|reserved_special_token_{}|>", special.size()));
  }
  return special;
}

}  // namespace

void SetSyntheticVocabulary(uint32_t n_vocab, GgufWriter& writer) {
  QUERN_DCHECK(n_vocab >= kMinSyntheticVocabulary);
  constexpr uint32_t kLlama3Special = 256;
  const uint32_t n_special =
      n_vocab >= 256 + 2 * kLlama3Special ? kLlama3Special : kMinSyntheticVocabulary - 256;
  std::vector<std::string> tokens = ByteTokens();
  const std::vector<std::string> merges = AddMerges(n_vocab - n_special, tokens);
  std::vector<int32_t> types(tokens.size(), kNormal);
  const auto first_special = static_cast<uint32_t>(tokens.size());
  for (std::string& token : SpecialTokens(n_special)) tokens.push_back(std::move(token));
  types.resize(tokens.size(), kControl);

  writer.SetString("tokenizer.ggml.model", "gpt2");
  writer.SetString("tokenizer.ggml.pre", "llama-bpe");
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  writer.SetInt32s("tokenizer.ggml.token_type", types);
  writer.SetStrings("tokenizer.ggml.merges", merges);
  writer.SetUint32("tokenizer.ggml.bos_token_id", first_special);
  writer.SetUint32("tokenizer.ggml.eos_token_id", first_special + 2);
  writer.SetBool("tokenizer.ggml.add_bos_token", true);
  writer.SetString("tokenizer.chat_template", kChatTemplate);
}

}  // namespace quern
