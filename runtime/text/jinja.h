// Jinja programs in the engine minja, of which this is the only user.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "gguf/base/result.h"

namespace minja {
class TemplateNode;
}  // namespace minja

namespace quern {

/// The engine trusts its programs: a hostile one can crash it (1 // 0), overflow its stack, or
/// never end. Such programs belong in a Sandbox.
class JinjaTemplate {
 public:
  /// From one text to another, callable by name.
  using Functions = std::map<std::string, std::function<std::string(const std::string&)>>;

  /// Errors: kUnsupported, what the parser did not like.
  static Result<JinjaTemplate> Parse(const std::string& source);

  /// `variables`: an object. Errors: kInvalidArgument with the program's own message
  /// (raise_exception) or what it could not do.
  Result<std::string> Render(const nlohmann::ordered_json& variables,
                             const Functions& functions = {}) const;

 private:
  explicit JinjaTemplate(std::shared_ptr<minja::TemplateNode> root) : root_(std::move(root)) {}
  std::shared_ptr<minja::TemplateNode> root_;
};

}  // namespace quern
