#include "runtime/text/jinja.h"

#include <exception>
#include <minja/minja.hpp>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace quern {
namespace {

/// The outermost variables of one rendering. A macro holds the context that holds it: without
/// Clear neither would ever go.
class RootContext : public minja::Context {
 public:
  explicit RootContext(minja::Value values)
      : minja::Context(std::move(values), minja::Context::builtins()) {}
  void Clear() { values_ = minja::Value::object(); }
};

/// Clears the context at the end of a rendering, however it ends.
class ContextOwner {
 public:
  explicit ContextOwner(minja::Value values)
      : context_(std::make_shared<RootContext>(std::move(values))) {}
  ~ContextOwner() { context_->Clear(); }
  ContextOwner(const ContextOwner&) = delete;
  ContextOwner& operator=(const ContextOwner&) = delete;
  const std::shared_ptr<RootContext>& context() const { return context_; }

 private:
  std::shared_ptr<RootContext> context_;
};

/// The message without minja's excerpt of the source, which takes many lines.
std::string FirstLine(std::string_view message) {
  std::string line(message.substr(0, message.find('\n')));
  if (line.ends_with(':')) line.pop_back();
  return line;
}

/// The message of raise_exception is for users: where in the template it was raised is not.
std::string WithoutPlace(std::string_view message) {
  return FirstLine(message.substr(0, message.find(" at row ")));
}

}  // namespace

Result<JinjaTemplate> JinjaTemplate::Parse(const std::string& source) {
  try {
    // The settings that chat templates are written for (Hugging Face's apply_chat_template).
    const minja::Options options = {
        .trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false};
    return JinjaTemplate(minja::Parser::parse(source, options));
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kUnsupported, "{}", FirstLine(error.what()));
  }
}

Result<std::string> JinjaTemplate::Render(const nlohmann::ordered_json& variables,
                                          const Functions& functions) const {
  try {
    const ContextOwner owner{minja::Value(variables)};
    for (const auto& [name, function] : functions) {
      owner.context()->set(
          name, minja::Value::callable([name = name, function = function](
                                           const auto& /*context*/, minja::ArgumentsValue& args) {
            args.expectArgs(name, {1, 1}, {0, 0});
            return minja::Value(function(args.args[0].get<std::string>()));
          }));
    }
    return root_->render(owner.context());
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, "{}", WithoutPlace(error.what()));
  }
}

}  // namespace quern
