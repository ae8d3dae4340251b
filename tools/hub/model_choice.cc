#include "tools/hub/model_choice.h"

#include <algorithm>
#include <map>
#include <utility>

#include "gguf/base/printable.h"
#include "gguf/split_name.h"
#include "tools/hub/hub_path.h"

namespace quern {
namespace {

constexpr std::string_view kExtension = ".gguf";
/// Of the names that a message lists.
constexpr size_t kMostNames = 24;

/// The files of one model, by the path of the whole or of the split set.
using Sets = std::map<std::string, std::vector<HubFile>>;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

/// Without the number of a split set and the extension.
std::string_view Stem(std::string_view path) {
  if (const auto split = ParseSplitName(path)) return path.substr(0, split->prefix.size());
  if (path.ends_with(kExtension)) path.remove_suffix(kExtension.size());
  return path;
}

bool IsQuant(std::string_view word) {
  for (const std::string_view name : {"F16", "BF16", "F32", "FP16", "MXFP4", "NVFP4"}) {
    if (word == name || (word.starts_with(name) && word[name.size()] == '_')) return true;
  }
  for (const std::string_view family : {"Q", "IQ", "TQ"}) {
    if (word.starts_with(family) && word.size() > family.size() && word[family.size()] >= '1' &&
        word[family.size()] <= '9') {
      return true;
    }
  }
  return false;
}

/// Whether `quant`, in capitals, stands in the path as words of its own.
bool Mentions(std::string_view path, std::string_view quant) {
  const std::string text = Upper(Stem(path));
  const auto is_apart = [&](size_t at) {
    return at >= text.size() || (!IsAlphanumeric(text[at]) && text[at] != '_');
  };
  for (size_t at = text.find(quant); at != std::string::npos; at = text.find(quant, at + 1)) {
    if ((at == 0 || is_apart(at - 1)) && is_apart(at + quant.size())) return true;
  }
  return false;
}

bool MayBeModel(const HubFile& file) {
  const std::string name = Upper(file.path);
  return file.path.ends_with(kExtension) && name.find("MMPROJ") == std::string::npos &&
         name.find("IMATRIX") == std::string::npos;
}

std::string KeyOf(const std::string& path) {
  const auto split = ParseSplitName(path);
  return split ? SplitPath(split->prefix, 1, split->count) : path;
}

std::string NamesOf(const Sets& sets) {
  std::string names;
  size_t n = 0;
  for (const auto& [key, files] : sets) {
    if (n++ == kMostNames) {
      names += fmt::format(" and {} more", sets.size() - kMostNames);
      break;
    }
    names += (names.empty() ? "" : ", ") + Printable(key, 200);
  }
  return names;
}

Sets WithQuant(const Sets& sets, const std::string& quant) {
  Sets exact;
  Sets mentioning;
  for (const auto& [key, files] : sets) {
    if (QuantOf(key) == quant) exact.emplace(key, files);
    if (Mentions(key, quant)) mentioning.emplace(key, files);
  }
  return exact.empty() ? mentioning : exact;
}

/// The files in order; an error when one of them is missing or may not be stored.
Result<std::vector<HubFile>> Checked(std::vector<HubFile> files) {
  std::sort(files.begin(), files.end(),
            [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  for (const HubFile& file : files) {
    if (Status status = CheckHubPath(file.path); !status) return Propagate(status);
  }
  const auto split = ParseSplitName(files.front().path);
  for (uint32_t number = 1; split && number <= split->count; ++number) {
    const std::string path = SplitPath(split->prefix, number, split->count);
    if (number > files.size() || files[number - 1].path != path) {
      return Fail(ErrorCode::kNotFound, "file {} of {} of the split set is missing: {}", number,
                  split->count, Printable(path, path.size()));
    }
  }
  return files;
}

}  // namespace

std::string QuantOf(std::string_view path) {
  const std::string text = Upper(Stem(path));
  // The last word that is one: what comes behind it may say anything.
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t cut = rest.find_last_of("-./ ");
    const std::string_view word = cut == std::string_view::npos ? rest : rest.substr(cut + 1);
    rest = cut == std::string_view::npos ? std::string_view() : rest.substr(0, cut);
    if (!IsQuant(word)) continue;
    const bool is_dynamic = rest == "UD" || rest.ends_with("-UD") || rest.ends_with("/UD");
    return (is_dynamic ? "UD-" : "") + std::string(word);
  }
  return {};
}

bool HasQuant(std::string_view path, std::string_view quant) {
  const std::string wanted = Upper(quant);
  return wanted.empty() || QuantOf(path) == wanted || Mentions(path, wanted);
}

Result<std::vector<HubFile>> ChooseModel(const std::vector<HubFile>& files, std::string_view quant,
                                         std::string_view file) {
  Sets all;
  Sets models;
  for (const HubFile& listed : files) {
    all[KeyOf(listed.path)].push_back(listed);
    if (MayBeModel(listed)) models[KeyOf(listed.path)].push_back(listed);
  }
  if (!file.empty()) {
    const bool is_there = std::any_of(files.begin(), files.end(),
                                      [&](const HubFile& listed) { return listed.path == file; });
    if (is_there) return Checked(all[KeyOf(std::string(file))]);
    return Fail(ErrorCode::kNotFound, "no file {}; there are: {}", Quoted(file), NamesOf(models));
  }
  if (models.empty()) return Fail(ErrorCode::kNotFound, "no GGUF file that could be a model");
  const std::string wanted = Upper(quant.empty() ? kDefaultQuant : quant);
  const Sets found = WithQuant(models, wanted);
  if (found.size() == 1) return Checked(found.begin()->second);
  if (found.empty() && quant.empty() && models.size() == 1) return Checked(models.begin()->second);
  if (!found.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "several models of {}, choose by --hf-file: {}",
                wanted, NamesOf(found));
  }
  return Fail(ErrorCode::kNotFound, "no file of {}{}; there are: {}", Printable(wanted),
              quant.empty() ? " and no other that is the only one" : "", NamesOf(models));
}

}  // namespace quern
