// Routers: names of models that stand for others, one of which is chosen for each request.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/pattern.h"
#include "gguf/base/result.h"
#include "server/api/model_request.h"

namespace quern {

/// What a request is routed by.
struct RouteQuestion {
  std::string text;      ///< as PlainText has it without a tokenizer
  bool images = false;   ///< whether a message has some
  bool tools = false;    ///< whether tools are offered to the model
  std::string_view key;  ///< the name of the API key; empty: none

  static RouteQuestion Of(const ModelRequest& request, std::string_view key);
};

/// Holds for a request of which every condition that is set holds.
struct RouteRule {
  std::string name;
  std::string model;            ///< that then answers
  size_t min_prompt_bytes = 0;  ///< of the text
  std::optional<size_t> max_prompt_bytes;
  std::vector<std::string> keys;  ///< one of these; empty: any
  std::optional<bool> images;
  std::optional<bool> tools;
  std::optional<Pattern> pattern;  ///< that the text matches

  bool Holds(const RouteQuestion& question) const;
};

struct Router {
  std::string name;
  std::vector<RouteRule> rules;       ///< the first that holds decides
  std::string default_model;          ///< where none does
  std::vector<std::string> fallback;  ///< tried in this order when the model chosen fails

  /// All that it may choose, each once.
  std::vector<std::string> Models() const;
};

/// Where a request goes.
struct Route {
  std::string router;               ///< empty: the request named the model itself
  std::string rule;                 ///< "default" where none held
  std::vector<std::string> models;  ///< the one chosen, then what to try when it fails
};

class Routers {
 public:
  Routers() = default;
  /// `default_name`: the model or router of requests that name none; empty: the first model.
  /// Errors: kInvalidArgument when two routers have one name.
  static Result<Routers> Create(std::vector<Router> routers, std::string default_name);

  /// `key`: the name of the API key; empty: none.
  Route Decide(const ModelRequest& request, std::string_view key) const;

  const std::vector<Router>& all() const { return routers_; }

 private:
  std::vector<Router> routers_;
  std::string default_name_;
};

}  // namespace quern
