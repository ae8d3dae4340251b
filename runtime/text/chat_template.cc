#include "runtime/text/chat_template.h"

#include <array>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "runtime/text/jinja.h"

namespace quern {
namespace {

/// The first character of an answer from the sandbox; a text follows.
constexpr char kRendered = '+';
constexpr char kNotParsed = 'p';
constexpr char kNotRendered = 'r';

std::string FormatTime(std::time_t time, const std::string& format) {
  std::tm local{};
  localtime_r(&time, &local);
  std::array<char, 256> text;
  return {text.data(), std::strftime(text.data(), text.size(), format.c_str(), &local)};
}

/// What runs in the sandbox. Requests are CBOR, which any bytes pass through: {"variables", "now"}.
/// An empty one asks for the parser's verdict alone.
class Renderer {
 public:
  explicit Renderer(std::string source) : source_(std::move(source)) {}

  std::string operator()(const std::string& request) {
    if (!parsed_) parsed_ = JinjaTemplate::Parse(source_);
    if (!*parsed_) return kNotParsed + parsed_->error().message;
    if (request.empty()) return {kRendered};
    const auto message = nlohmann::ordered_json::from_cbor(request);
    const auto now = message["now"].get<int64_t>();
    const auto format_time = [now](const std::string& format) { return FormatTime(now, format); };
    auto text = (*parsed_)->Render(message["variables"], {{"strftime_now", format_time}});
    return text ? kRendered + *text : kNotRendered + text.error().message;
  }

 private:
  std::string source_;
  std::optional<Result<JinjaTemplate>> parsed_;
};

}  // namespace

ChatTemplate::ChatTemplate(std::string name, std::string source, std::string bos, std::string eos,
                           SandboxLimits limits)
    : name_(std::move(name)),
      bos_(std::move(bos)),
      eos_(std::move(eos)),
      source_(std::move(source)),
      sandbox_(std::make_unique<Sandbox>(Renderer(source_), limits)) {}

Result<ChatTemplate> ChatTemplate::Parse(std::string source, std::string bos, std::string eos,
                                         SandboxLimits limits) {
  ChatTemplate parsed("chat template", std::move(source), std::move(bos), std::move(eos), limits);
  if (Result<std::string> verdict = parsed.Ask(""); !verdict) return Propagate(verdict);
  return parsed;
}

Result<ChatTemplate> ChatTemplate::Load(const GgufFile& file,
                                        const std::optional<std::string>& source) {
  std::string texts[2];
  const char* keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"};
  for (size_t i = 0; i < std::size(keys); ++i) {
    if (file.Find(keys[i]) == nullptr) continue;
    const auto id = file.GetUint(keys[i]);
    auto tokens = file.GetStrings("tokenizer.ggml.tokens");
    if (id && tokens && *id < tokens->size()) texts[i] = (*tokens)[*id];
  }
  if (source) return Parse(*source, std::move(texts[0]), std::move(texts[1]));
  auto own = file.GetString("tokenizer.chat_template");
  if (!own) return Propagate(own);
  return ChatTemplate(fmt::format("{}: tokenizer.chat_template", file.name()), std::string(*own),
                      std::move(texts[0]), std::move(texts[1]), {});
}

Result<std::string> ChatTemplate::Render(std::span<const ChatMessage> messages,
                                         bool add_generation_prompt, Time now) const {
  auto list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  const nlohmann::ordered_json request = {
      {"variables",
       {{"messages", std::move(list)},
        {"add_generation_prompt", add_generation_prompt},
        {"bos_token", bos_},
        {"eos_token", eos_}}},
      {"now", static_cast<int64_t>(std::chrono::system_clock::to_time_t(now))}};
  std::string bytes;
  nlohmann::ordered_json::to_cbor(request, bytes);
  return Ask(bytes);
}

Result<std::string> ChatTemplate::Ask(std::string_view request) const {
  Result<std::string> answer = sandbox_->Ask(request);
  if (!answer) return Fail(answer.error().code, "{}: it {}", name_, answer.error().message);
  const char verdict = answer->empty() ? kNotRendered : answer->front();
  if (verdict == kRendered) return answer->substr(1);
  const std::string_view message = std::string_view(*answer).substr(answer->empty() ? 0 : 1);
  if (verdict == kNotParsed) return Fail(ErrorCode::kUnsupported, "{}: {}", name_, message);
  return Fail(ErrorCode::kInvalidArgument, "chat template: {}", message);
}

}  // namespace quern
