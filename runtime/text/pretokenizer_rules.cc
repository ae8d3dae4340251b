#include "runtime/text/pretokenizer_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace quern {
namespace {

// Sources: the pre_tokenizer parts of the models' published tokenizer.json files, as llama.cpp
// reads them where the two differ: it knows the case of ASCII letters only.
std::vector<PreTokenizerRule> MakeRules() {
  const std::string contraction = R"('s|'t|'re|'ve|'m|'ll|'d)";
  const std::string contraction_any_case =
      R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
  const std::string lines_then_spaces = R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

  const std::string gpt2 = contraction + R"(| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
  // `number` is what the family differs in.
  const auto llama3_with = [&](const std::string& number) {
    return contraction_any_case + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" + number +
           R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|)" + lines_then_spaces;
  };
  const std::string llama3 = llama3_with(R"(\p{N}{1,3})");

  // A word ends where an upper-case letter follows a lower-case one; \p{E} is both.
  const auto cased_words_with = [&](const std::string& suffix, const std::string& number) {
    const std::string prefix = R"([^\r\n\p{L}\p{N}]?)";
    return prefix + R"([A-Z\p{E}]*[a-z\p{E}]+)" + suffix + "|" + prefix +
           R"([A-Z\p{E}]+[a-z\p{E}]*)" + suffix + "|" + number + R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" +
           lines_then_spaces;
  };

  const std::string sentence_without_punctuation = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

  const std::string cjk_of_deepseek = "[一-龥ࠀ-一가-퟿]+";
  const std::string letters_of_deepseek =
      R"(\s?[A-Za-z)"
      R"(µÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-Ჺ)"
      R"(Ჽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴ)"
      R"(ῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ)"
      R"(ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃)"
      R"(]+)";

  return {
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                 "lfm2"},
       .patterns = {llama3},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"smaug-bpe", "dbrx", "glm4", "chatglm-bpe"}, .patterns = {llama3}},
      {.names = {"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open",
                 "grok-2", "kormo"},
       .patterns = {llama3_with(R"(\p{N})")}},
      {.names = {"qwen35"},
       .patterns = {contraction_any_case +
                    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" +
                    lines_then_spaces}},
      {.names = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat",
                 "a.x-4.0", "mellum", "exaone4"},
       .patterns = {gpt2}},
      {.names = {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
                 "mellum2"},
       .patterns = {R"(\p{N})", gpt2}},
      {.names = {"falcon"}, .patterns = {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2, "[0-9][0-9][0-9]"}},
      {.names = {"deepseek-llm"},
       .patterns = {R"([\r\n])", letters_of_deepseek, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
                    R"(\s+$)", cjk_of_deepseek, R"(\p{N}+)"}},
      {.names = {"deepseek-coder"},
       .patterns = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", cjk_of_deepseek, R"(\p{N})"}},
      {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
       .patterns = {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
                    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
                    R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" +
                        lines_then_spaces}},
      {.names = {"tekken"},
       .patterns = {cased_words_with("", R"(\p{N})")},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"},
       .patterns = {cased_words_with("(?:" + contraction_any_case + ")?", R"(\p{N}{1,3})")}},
      {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .patterns = {sentence_without_punctuation}},
      {.names = {"viking"}, .patterns = {sentence_without_punctuation, R"(\p{N})"}},
      {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
       .patterns = {R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {.names = {"seed-coder"},
       .patterns = {contraction_any_case +
                    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" +
                    lines_then_spaces}},
      // What files without a name mean.
      {.names = {"default"},
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", gpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
}

const std::vector<PreTokenizerRule>& Rules() {
  static const std::vector<PreTokenizerRule> kRules = MakeRules();
  return kRules;
}

}  // namespace

const PreTokenizerRule* FindPreTokenizerRule(std::string_view name) {
  for (const PreTokenizerRule& rule : Rules()) {
    if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end()) return &rule;
  }
  return nullptr;
}

std::string KnownPreTokenizers() {
  std::vector<std::string_view> names;
  for (const PreTokenizerRule& rule : Rules()) {
    names.insert(names.end(), rule.names.begin(), rule.names.end());
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace quern
