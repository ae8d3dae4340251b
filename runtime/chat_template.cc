#include "runtime/chat_template.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <minja/minja.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace quern {
namespace {

// Templates of real models are below 30 KB, their blocks below 1 KB beside texts, and nest less
// than 10 deep. minja parses by recursion, at up to 2 KB of stack a character or level.
constexpr size_t kMaxSourceBytes = 64 << 10;
constexpr size_t kMaxBlockCharacters = 4096;
constexpr int kMaxNesting = 64;

/// What one rendering may use: about a second, and a quarter of a thread's usual stack.
constexpr uint64_t kMaxSteps = 1 << 20;
constexpr size_t kMaxStackBytes = 2 << 20;

bool IsIdentifierCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Refuses sources that could exhaust the parser's stack, before it sees them.
class NestingCheck {
 public:
  explicit NestingCheck(std::string_view source) : source_(source) {}

  Status Run() {
    if (source_.size() > kMaxSourceBytes) {
      return Fail(ErrorCode::kUnsupported, "chat template of {} bytes; at most {} are read",
                  source_.size(), kMaxSourceBytes);
    }
    while (at_ + 1 < source_.size()) {
      const std::string_view opening = source_.substr(at_, 2);
      if (opening == "{#") {
        const size_t begin = std::exchange(at_, std::min(source_.find("#}", at_), source_.size()));
        if (at_ - begin > kMaxBlockCharacters) {
          return Fail(ErrorCode::kUnsupported,
                      "chat template has a comment of more than {} characters",
                      kMaxBlockCharacters);
        }
      } else if (opening == "{{" || opening == "{%") {
        if (Status status = Block(opening == "{%"); !status) return status;
      } else {
        ++at_;
      }
    }
    return {};
  }

 private:
  /// One {{ }} or {% %}, whose brackets count, and whose texts do not.
  Status Block(bool is_statement) {
    at_ += 2;
    if (is_statement) CountStatement();
    int brackets = 0;
    size_t characters = 0;
    for (; at_ < source_.size(); ++at_) {
      const char c = source_[at_];
      const bool closes = (c == '}' || c == '%') && brackets <= 0;
      if (closes && at_ + 1 < source_.size() && source_[at_ + 1] == '}') break;
      if (c == '\'' || c == '"') SkipText(c);
      if (c == '(' || c == '[' || c == '{') ++brackets;
      if (c == ')' || c == ']' || c == '}') --brackets;
      if (brackets > kMaxNesting || statements_ > kMaxNesting) {
        return Fail(ErrorCode::kUnsupported, "chat template nests deeper than {} levels",
                    kMaxNesting);
      }
      if (++characters > kMaxBlockCharacters) {
        return Fail(ErrorCode::kUnsupported,
                    "chat template has a block of more than {} characters beside its texts",
                    kMaxBlockCharacters);
      }
    }
    return {};
  }

  void CountStatement() {
    size_t begin = at_;
    while (begin < source_.size() && !IsIdentifierCharacter(source_[begin])) ++begin;
    size_t end = begin;
    while (end < source_.size() && IsIdentifierCharacter(source_[end])) ++end;
    const std::string_view word = source_.substr(begin, end - begin);
    for (const char* opening : {"if", "for", "macro", "call", "filter", "generation"}) {
      if (word == opening) ++statements_;
    }
    if (word.starts_with("end") && word != "endset") --statements_;
  }

  /// Leaves at_ on the closing quote.
  void SkipText(char quote) {
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] == '\\') ++at_;
    }
  }

  std::string_view source_;
  size_t at_ = 0;
  int statements_ = 0;
};

/// The outermost variables of one rendering. Every call and loop of a template looks something up
/// here, so this is where runaway ones are stopped.
class BoundedContext : public minja::Context {
 public:
  explicit BoundedContext(minja::Value values)
      : minja::Context(std::move(values), minja::Context::builtins()) {
    const minja::Value range = parent_->get("range");
    values_.set("range", minja::Value::callable([this, range](const auto& context, auto& args) {
                  for (const auto& arg : args.args) Count(Magnitude(arg));
                  for (const auto& [name, value] : args.kwargs) Count(Magnitude(value));
                  return range.call(context, args);
                }));
  }

  minja::Value get(const minja::Value& key) override {
    Count(1);
    return Context::get(key);
  }
  minja::Value& at(const minja::Value& key) override {
    Count(1);
    return Context::at(key);
  }
  bool contains(const minja::Value& key) override {
    Count(1);
    return Context::contains(key);
  }

 private:
  static uint64_t Magnitude(const minja::Value& value) {
    const auto n = value.get<int64_t>();
    return n < 0 ? -static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
  }

  void Count(uint64_t steps) {
    if (steps > kMaxSteps - steps_)
      throw std::runtime_error("the template does not come to an end");
    steps_ += steps;
    const auto depth = std::abs(StackPosition() - stack_at_start_);
    if (static_cast<size_t>(depth) > kMaxStackBytes) {
      throw std::runtime_error("the template calls itself without end");
    }
  }

  static intptr_t StackPosition() { return reinterpret_cast<intptr_t>(__builtin_frame_address(0)); }

  uint64_t steps_ = 0;
  intptr_t stack_at_start_ = StackPosition();
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

minja::Value FormatTime(ChatTemplate::Time now, minja::ArgumentsValue& args) {
  args.expectArgs("strftime_now", {1, 1}, {0, 0});
  const std::string format = args.args[0].get<std::string>();
  const std::time_t time = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&time, &local);
  std::array<char, 256> text;
  return std::string(text.data(), std::strftime(text.data(), text.size(), format.c_str(), &local));
}

}  // namespace

struct ChatTemplate::Impl {
  std::string source;
  std::string bos;
  std::string eos;
  std::shared_ptr<minja::TemplateNode> root;
};

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source, std::string bos,
                                         std::string eos) {
  if (Status status = NestingCheck(source).Run(); !status) return Propagate(status);
  auto impl =
      std::make_unique<Impl>(Impl{std::string(source), std::move(bos), std::move(eos), nullptr});
  try {
    // The settings that templates are written for (Hugging Face's apply_chat_template).
    const minja::Options options = {
        .trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false};
    impl->root = minja::Parser::parse(impl->source, options);
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kUnsupported, "chat template: {}", FirstLine(error.what()));
  }
  return ChatTemplate(std::move(impl));
}

Result<ChatTemplate> ChatTemplate::Load(const GgufFile& file) {
  auto source = file.GetString("tokenizer.chat_template");
  if (!source) return Propagate(source);
  std::string texts[2];
  const char* keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"};
  for (size_t i = 0; i < std::size(keys); ++i) {
    if (file.Find(keys[i]) == nullptr) continue;
    const auto id = file.GetUint(keys[i]);
    auto tokens = file.GetStrings("tokenizer.ggml.tokens");
    if (id && tokens && *id < tokens->size()) texts[i] = (*tokens)[*id];
  }
  auto parsed = Parse(*source, std::move(texts[0]), std::move(texts[1]));
  if (!parsed) {
    return Fail(parsed.error().code, "{}: tokenizer.chat_template: {}", file.name(),
                parsed.error().message);
  }
  return parsed;
}

Result<std::string> ChatTemplate::Render(std::span<const ChatMessage> messages,
                                         bool add_generation_prompt, Time now) const {
  try {
    auto list = nlohmann::ordered_json::array();
    for (const ChatMessage& message : messages) {
      list.push_back({{"role", message.role}, {"content", message.content}});
    }
    auto context = std::make_shared<BoundedContext>(minja::Value(nlohmann::ordered_json{
        {"messages", std::move(list)},
        {"add_generation_prompt", add_generation_prompt},
        {"bos_token", impl_->bos},
        {"eos_token", impl_->eos},
    }));
    context->set("strftime_now", minja::Value::callable([now](const auto& /*context*/, auto& args) {
                   return FormatTime(now, args);
                 }));
    return impl_->root->render(context);
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, "chat template: {}", WithoutPlace(error.what()));
  }
}

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const { return impl_->source; }

}  // namespace quern
