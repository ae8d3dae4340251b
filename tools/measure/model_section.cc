#include "tools/measure/model_section.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gguf/base/printable.h"
#include "gguf/split_name.h"
#include "tools/toml/toml_edit.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

/// The folder that paths in the configuration start from.
fs::path FolderOf(const std::string& config_path) {
  return fs::absolute(config_path).parent_path();
}

fs::path Canonical(const fs::path& path) {
  std::error_code error;
  fs::path canonical = fs::weakly_canonical(path, error);
  return error ? path : canonical;
}

/// A text of the section, or an empty one. Errors: kInvalidArgument where it is something else.
Result<std::string> TextOf(const TomlDocument& config, const toml::table& section,
                           std::string_view key) {
  const toml::node* node = section.get(key);
  if (node == nullptr) return std::string();
  if (const auto* text = node->as_string()) return text->get();
  return config.ErrorAt(*node, ErrorCode::kInvalidArgument,
                        fmt::format("{} is no text in quotes", Quoted(key)));
}

Result<bool> IsOf(const TomlDocument& config, const toml::table& section, const fs::path& folder,
                  const ConfiguredModel& model) {
  const Result<std::string> path = TextOf(config, section, "path");
  if (!path) return tl::unexpected(path.error());
  const Result<std::string> hub = TextOf(config, section, "hub");
  if (!hub) return tl::unexpected(hub.error());
  if (!hub->empty() && *hub == model.hub) return true;
  return !path->empty() && Canonical(folder / *path) == Canonical(model.path);
}

/// NAME of the only section of the model; empty: there is none.
Result<std::string> FindSection(const TomlDocument& config, const fs::path& folder,
                                const ConfiguredModel& model) {
  const toml::node* models = config.root().get("models");
  if (models == nullptr) return std::string();
  if (!models->is_table()) {
    return config.ErrorAt(*models, ErrorCode::kInvalidArgument,
                          "'models' is no table, expected sections [models.NAME]");
  }
  std::string found;
  for (const auto& [name, node] : *models->as_table()) {
    const toml::table* section = node.as_table();
    if (section == nullptr) continue;
    const Result<bool> is_of = IsOf(config, *section, folder, model);
    if (!is_of) return tl::unexpected(is_of.error());
    if (!*is_of) continue;
    if (!found.empty()) {
      return config.ErrorAt(node, ErrorCode::kInvalidArgument,
                            fmt::format("{} has the model, as {} has: --model-name says which to "
                                        "write to",
                                        Quoted(name.str()), Quoted(found)));
    }
    found = name.str();
  }
  return found;
}

/// A name for a new section: the repository's, or the file's.
std::string NameFor(const ConfiguredModel& model) {
  if (!model.hub.empty()) {
    const std::string repository = model.hub.substr(0, model.hub.find(':'));
    return repository.substr(repository.rfind('/') + 1);
  }
  const fs::path file = fs::path(model.path).filename();
  if (const auto split = ParseSplitName(file.string())) return split->prefix;
  return file.extension() == ".gguf" ? file.stem().string() : file.string();
}

/// The file's path as the configuration has it: from its folder, if the file lies in there.
std::string PathFrom(const fs::path& folder, const std::string& model) {
  const fs::path path = Canonical(model);
  const fs::path relative = path.lexically_relative(Canonical(folder));
  const bool is_inside = !relative.empty() && *relative.begin() != "..";
  return (is_inside ? relative : path).string();
}

}  // namespace

Result<SectionChange> SetModelNumbers(std::string text, const std::string& config_path,
                                      const ConfiguredModel& model, size_t threads,
                                      size_t batch_size) {
  Result<TomlDocument> config = TomlDocument::Parse(std::move(text), config_path);
  if (!config) return Propagate(config);
  const fs::path folder = FolderOf(config_path);
  std::string name = model.section;
  if (name.empty()) {
    Result<std::string> found = FindSection(*config, folder, model);
    if (!found) return Propagate(found);
    name = *std::move(found);
  }
  const bool is_known = !name.empty() && config->Find({"models", name}) != nullptr;
  if (!is_known) {
    if (name.empty()) name = NameFor(model);
    if (const toml::table* other = config->Find({"models", name})) {
      return config->ErrorAt(
          *other, ErrorCode::kInvalidArgument,
          fmt::format("{} is another model: --model-name says where to write", Quoted(name)));
    }
    const std::string source = model.hub.empty()
                                   ? "path = " + TomlString(PathFrom(folder, model.path))
                                   : "hub = " + TomlString(model.hub);
    if (Status status = config->AddSection({"models", name}, {source}); !status)
      return Propagate(status);
  }
  for (const auto& [key, value] : {std::pair{"threads", threads}, {"batch_size", batch_size}}) {
    Status status = config->SetInteger({"models", name}, key, static_cast<int64_t>(value));
    if (!status) return Propagate(status);
  }
  return SectionChange{config->text(), name, !is_known};
}

}  // namespace quern
