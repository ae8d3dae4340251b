#include "tools/serve/models_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"
#include "gguf/split_name.h"
#include "tools/toml/parse_toml.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostMessageBytes = 500;  ///< of CLI11's, which has the values

/// Names go in headers and metrics, and are typed.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 100 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string WithDashes(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

/// The keys of a table in the order of the file.
std::vector<std::pair<const toml::key*, const toml::node*>> InOrder(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> items;
  items.reserve(table.size());
  for (auto&& [key, node] : table) items.emplace_back(&key, &node);
  const auto place = [](const auto& item) {
    const toml::source_position& begin = item.first->source().begin;
    return std::pair(begin.line, begin.column);
  };
  std::sort(items.begin(), items.end(),
            [&](const auto& a, const auto& b) { return place(a) < place(b); });
  return items;
}

/// Reads one file; the first error is kept, and what follows it is passed over.
class Parser {
 public:
  Parser(const std::string& path, const ServedModelOptions& base)
      : path_(path), folder_(fs::path(path).parent_path()), base_(base) {}

  Result<ModelList> Parse(std::string_view text) {
    const auto parsed = ParseToml(text);
    if (!parsed) {
      Fail({parsed.error().at, parsed.error().at, nullptr}, parsed.error().message);
      return tl::unexpected(*error_);
    }
    for (const auto& [key, node] : InOrder(*parsed)) {
      const std::string_view name = key->str();
      if (name == "models") {
        Sections(*key, *node, [this](const auto& k, const auto& table) { Model(k, table); });
      } else if (name == "routers") {
        Sections(*key, *node, [this](const auto& k, const auto& table) { ReadRouter(k, table); });
      } else if (name == "default") {
        default_ = node;
        Text(*key, *node, &list_.default_name);
      } else {
        Fail(key->source(),
             fmt::format("unknown key {}, expected models, routers or default", Quoted(name)));
      }
    }
    if (!error_ && list_.models.empty()) {
      error_ =
          Error{ErrorCode::kInvalidArgument, fmt::format("{}: no section [models.NAME]", path_)};
    }
    CheckReferences();
    if (error_) return tl::unexpected(*std::move(error_));
    return std::move(list_);
  }

 private:
  void Fail(const toml::source_region& where, const std::string& what) {
    if (error_) return;
    error_ = Error{ErrorCode::kInvalidArgument, fmt::format("{}: {}", PlaceOf(where), what)};
  }
  std::string PlaceOf(const toml::source_region& where) const {
    return fmt::format("{}, line {}", path_, where.begin.line);
  }
  void FailKey(const toml::key& key, std::string_view expected) {
    Fail(key.source(), fmt::format("{} must be {}", Quoted(key.str()), expected));
  }

  void Text(const toml::key& key, const toml::node& node, std::string* value) {
    const auto text = node.value_exact<std::string>();
    if (!text) return FailKey(key, "a text");
    *value = *text;
  }
  void Texts(const toml::key& key, const toml::node& node, std::vector<std::string>* values) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous<std::string>()) {
      if (array == nullptr || !array->empty()) return FailKey(key, "a list of texts");
    }
    for (const toml::node& each : *array) values->push_back(**each.as_string());
  }
  void Bool(const toml::key& key, const toml::node& node, bool* value) {
    const auto read = node.value_exact<bool>();
    if (!read) return FailKey(key, "true or false");
    *value = *read;
  }
  template <typename T>
  void Count(const toml::key& key, const toml::node& node, T* value) {
    const auto number = node.value_exact<int64_t>();
    if (!number || *number < 0) return FailKey(key, "a whole number");
    *value = static_cast<size_t>(*number);
  }

  template <typename Read>
  void Sections(const toml::key& key, const toml::node& node, const Read& read) {
    const toml::table* sections = node.as_table();
    if (sections == nullptr) {
      return Fail(key.source(), fmt::format("expected sections [{}.NAME]", key.str()));
    }
    for (const auto& [name, section] : InOrder(*sections)) {
      if (!IsName(name->str())) {
        Fail(name->source(), fmt::format("{} is no name, expected up to 100 visible characters",
                                         Quoted(name->str())));
      } else if (!section->is_table()) {
        Fail(name->source(), fmt::format("expected a section [{}.{}]", key.str(), name->str()));
      } else {
        read(*name, *section->as_table());
      }
    }
  }

  void Model(const toml::key& name, const toml::table& section) {
    ServedModelOptions options = base_;
    options.id = name.str();
    options.place = PlaceOf(name.source());
    options.preload = false;
    for (const auto& [key, node] : InOrder(section)) {
      const std::string word = WithDashes(key->str());
      if (word == "path") {
        std::string path;
        Text(*key, *node, &path);
        options.model.set_path((folder_ / path).string());
      } else if (word == "hub") {
        Option("hf-repo", *key, *node, &options);
      } else if (word == "aliases") {
        Texts(*key, *node, &options.aliases);
        for (const std::string& alias : options.aliases) {
          if (!IsName(alias)) FailKey(*key, "a list of names of up to 100 visible characters");
        }
      } else if (word == "preload") {
        Bool(*key, *node, &options.preload);
      } else {
        Option(word, *key, *node, &options);
      }
    }
    if (!options.model.is_given()) {
      Fail(name.source(), fmt::format("the model {} has no path and no hub", Quoted(name.str())));
    }
    model_where_.emplace_back(name.source());
    list_.models.push_back(std::move(options));
  }

  /// A key that is an option of `quern serve`, read as the command line's.
  void Option(const std::string& word, const toml::key& key, const toml::node& node,
              ServedModelOptions* options) {
    CLI::App app;
    options->AddTo(&app);
    options->model.AddNamedTo(&app);
    const bool is_known = word != "model" && word != "help" && word.size() > 1 &&
                          app.get_option_no_throw("--" + word) != nullptr;
    if (!is_known) {
      return Fail(key.source(), fmt::format("unknown key {}: a model has path, hub, aliases, "
                                            "preload, and options of quern serve as keys",
                                            Quoted(key.str())));
    }
    std::vector<std::string> arguments;
    const auto add = [&](const toml::node& value) {
      std::string text;
      if (value.is_string()) {
        text = **value.as_string();
        if (word == "chat-template-file") text = (folder_ / text).string();
      } else if (value.is_integer()) {
        text = std::to_string(**value.as_integer());
      } else if (value.is_floating_point()) {
        text = fmt::format("{}", **value.as_floating_point());
      } else if (value.is_boolean()) {
        text = **value.as_boolean() ? "true" : "false";
      } else {
        return FailKey(key, "a text, a number, true or false");
      }
      arguments.push_back(fmt::format("--{}={}", word, text));
    };
    if (const toml::array* array = node.as_array()) {
      for (const toml::node& each : *array) add(each);
    } else {
      add(node);
    }
    if (error_) return;
    try {
      std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
      app.parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
      Fail(node.source(), Printable(error.what(), kMostMessageBytes));
    }
  }

  void ReadRouter(const toml::key& name, const toml::table& section) {
    Router router;
    router.name = name.str();
    for (const auto& [key, node] : InOrder(section)) {
      const std::string_view word = key->str();
      if (word == "default") {
        Text(*key, *node, &router.default_model);
      } else if (word == "fallback") {
        Texts(*key, *node, &router.fallback);
      } else if (word == "rules") {
        ReadRules(*key, *node, &router);
      } else {
        Fail(key->source(),
             fmt::format("unknown key {}: a router has default, fallback and rules", Quoted(word)));
      }
    }
    if (router.default_model.empty()) {
      Fail(name.source(), fmt::format("the router {} has no default", Quoted(name.str())));
    }
    router_where_.emplace_back(name.source());
    list_.routers.push_back(std::move(router));
  }

  void ReadRules(const toml::key& key, const toml::node& node, Router* router) {
    const toml::array* rules = node.as_array();
    if (rules == nullptr || !rules->is_homogeneous<toml::table>()) {
      return Fail(key.source(),
                  fmt::format("expected sections [[routers.{}.rules]]", router->name));
    }
    for (const toml::node& each : *rules) {
      RouteRule rule;
      rule.name = fmt::format("rule-{}", router->rules.size() + 1);
      for (const auto& [name, value] : InOrder(*each.as_table())) {
        ReadCondition(*name, *value, &rule);
      }
      if (rule.model.empty()) Fail(each.source(), "a rule without a model");
      if (!IsName(rule.name))
        Fail(each.source(), "the rule's name has other than visible characters");
      router->rules.push_back(std::move(rule));
    }
  }

  void ReadCondition(const toml::key& key, const toml::node& node, RouteRule* rule) {
    const std::string word = WithDashes(key.str());
    if (word == "name") {
      Text(key, node, &rule->name);
    } else if (word == "model") {
      Text(key, node, &rule->model);
    } else if (word == "min-prompt-bytes") {
      Count(key, node, &rule->min_prompt_bytes);
    } else if (word == "max-prompt-bytes") {
      Count(key, node, &rule->max_prompt_bytes);
    } else if (word == "keys") {
      Texts(key, node, &rule->keys);
    } else if (word == "images") {
      Bool(key, node, &rule->images.emplace());
    } else if (word == "tools") {
      Bool(key, node, &rule->tools.emplace());
    } else if (word == "pattern") {
      std::string source;
      Text(key, node, &source);
      Result<Pattern> pattern = Pattern::Compile(source);
      if (!pattern) return Fail(node.source(), pattern.error().message);
      rule->pattern = *std::move(pattern);
    } else {
      Fail(key.source(), fmt::format("unknown key {}: a rule has name, model, min-prompt-bytes, "
                                     "max-prompt-bytes, keys, images, tools and pattern",
                                     Quoted(key.str())));
    }
  }

  /// Whether all that is named is there.
  void CheckReferences() {
    std::set<std::string_view> models;
    for (size_t i = 0; i < list_.models.size(); ++i) {
      const auto add = [&](const std::string& name) {
        if (models.insert(name).second) return;
        Fail(model_where_[i], fmt::format("two models are called {}", Quoted(name)));
      };
      add(list_.models[i].id);
      for (const std::string& alias : list_.models[i].aliases) add(alias);
    }
    std::set<std::string_view> names = models;
    for (size_t i = 0; i < list_.routers.size(); ++i) {
      const Router& router = list_.routers[i];
      if (!names.insert(router.name).second) {
        Fail(router_where_[i], fmt::format("there is a model {} too", Quoted(router.name)));
      }
      for (const std::string& model : router.Models()) {
        if (models.count(model) > 0) continue;
        Fail(router_where_[i],
             fmt::format("the router {} names {}, which is no model", router.name, Quoted(model)));
      }
    }
    if (default_ != nullptr && names.count(list_.default_name) == 0) {
      Fail(default_->source(), fmt::format("the default is {}, which is no model and no router",
                                           Quoted(list_.default_name)));
    }
  }

  const std::string& path_;
  fs::path folder_;
  const ServedModelOptions& base_;
  ModelList list_;
  std::vector<toml::source_region> model_where_;
  std::vector<toml::source_region> router_where_;
  const toml::node* default_ = nullptr;
  std::optional<Error> error_;
};

}  // namespace

Result<ModelList> ParseModels(std::string_view text, const std::string& path,
                              const ServedModelOptions& base) {
  return Parser(path, base).Parse(text);
}

Result<ModelList> ReadModelsFile(const std::string& path, const ServedModelOptions& base) {
  Result<std::string> text = ReadText(path);
  if (!text) return Propagate(text);
  return ParseModels(*text, path, base);
}

Result<ModelList> ListModelsFolder(const std::string& folder, const ServedModelOptions& base) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".gguf" && entry->is_regular_file(error)) {
      files.push_back(entry->path());
    }
  }
  if (error) return Fail(ErrorCode::kIo, "{}: {}", folder, error.message());
  std::sort(files.begin(), files.end());
  ModelList list;
  for (const fs::path& file : files) {
    const std::optional<SplitName> split = ParseSplitName(file.string());
    if (split && split->number > 1) continue;
    ServedModelOptions options = base;
    options.id = split ? fs::path(split->prefix).filename().string() : file.stem().string();
    if (!IsName(options.id)) continue;
    options.preload = false;
    options.model.set_path(file.string());
    list.models.push_back(std::move(options));
  }
  if (list.models.empty()) return Fail(ErrorCode::kNotFound, "{}: no *.gguf in it", folder);
  return list;
}

}  // namespace quern
