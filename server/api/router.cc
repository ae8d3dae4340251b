#include "server/api/router.h"

#include <algorithm>
#include <set>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

using nlohmann::json;

const json& Field(const json& object, const char* name) {
  static const json kNull;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : kNull;
}

/// The texts in a message's content, a prompt or a list of these.
void AddText(const json& value, RouteQuestion* question) {
  if (value.is_string()) {
    question->text += value.get_ref<const std::string&>();
    question->text += '\n';
  } else if (value.is_array()) {
    for (const json& part : value) AddText(part, question);
  } else if (value.is_object()) {
    const json& type = Field(value, "type");
    if (type == "image_url" || type == "input_image") question->images = true;
    AddText(Field(value, "text"), question);
  }
}

}  // namespace

RouteQuestion RouteQuestion::Of(const json& body, std::string_view key) {
  RouteQuestion question;
  question.key = key;
  const json& messages = Field(body, "messages");
  if (messages.is_array()) {
    for (const json& message : messages) AddText(Field(message, "content"), &question);
  }
  for (const char* name : {"prompt", "input", "content"}) AddText(Field(body, name), &question);
  for (const char* name : {"tools", "functions"}) {
    const json& tools = Field(body, name);
    question.tools = question.tools || (tools.is_array() && !tools.empty());
  }
  return question;
}

bool RouteRule::Holds(const RouteQuestion& question) const {
  const size_t bytes = question.text.size();
  return bytes >= min_prompt_bytes && bytes <= max_prompt_bytes.value_or(bytes) &&
         (keys.empty() || std::count(keys.begin(), keys.end(), question.key) > 0) &&
         images.value_or(question.images) == question.images &&
         tools.value_or(question.tools) == question.tools &&
         (!pattern || pattern->Find(question.text) == Pattern::Outcome::kFound);
}

std::vector<std::string> Router::Models() const {
  std::vector<std::string> models;
  const auto add = [&](const std::string& model) {
    if (std::count(models.begin(), models.end(), model) == 0) models.push_back(model);
  };
  for (const RouteRule& rule : rules) add(rule.model);
  add(default_model);
  for (const std::string& model : fallback) add(model);
  return models;
}

Result<Routers> Routers::Create(std::vector<Router> routers, std::string default_name) {
  std::set<std::string_view> names;
  for (const Router& router : routers) {
    if (!names.insert(router.name).second) {
      return Fail(ErrorCode::kInvalidArgument, "two routers are called {}", Quoted(router.name));
    }
  }
  Routers all;
  all.routers_ = std::move(routers);
  all.default_name_ = std::move(default_name);
  return all;
}

Route Routers::Decide(std::string_view name, const json& body, std::string_view key) const {
  if (name.empty()) name = default_name_;
  const auto router = std::find_if(routers_.begin(), routers_.end(),
                                   [&](const Router& each) { return each.name == name; });
  if (router == routers_.end()) return {.router = "", .rule = "", .models = {std::string(name)}};
  const RouteQuestion question = RouteQuestion::Of(body, key);
  const auto rule = std::find_if(router->rules.begin(), router->rules.end(),
                                 [&](const RouteRule& each) { return each.Holds(question); });
  const bool none = rule == router->rules.end();
  Route route{.router = router->name,
              .rule = none ? "default" : rule->name,
              .models = {none ? router->default_model : rule->model}};
  for (const std::string& model : router->fallback) {
    if (model != route.models.front()) route.models.push_back(model);
  }
  return route;
}

}  // namespace quern
