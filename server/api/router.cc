#include "server/api/router.h"

#include <algorithm>
#include <set>
#include <utility>

#include "gguf/base/printable.h"
#include "server/api/prompt_text.h"

namespace quern {

RouteQuestion RouteQuestion::Of(const ModelRequest& request, std::string_view key) {
  return {.text = PlainText(request.prompts, /*tokenizer=*/nullptr),
          .images = request.has_images,
          .tools = request.has_tools,
          .key = key};
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

Route Routers::Decide(const ModelRequest& request, std::string_view key) const {
  const std::string& name = request.model.empty() ? default_name_ : request.model;
  const auto router = std::find_if(routers_.begin(), routers_.end(),
                                   [&](const Router& each) { return each.name == name; });
  if (router == routers_.end()) return {.router = "", .rule = "", .models = {name}};
  const RouteQuestion question = RouteQuestion::Of(request, key);
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
