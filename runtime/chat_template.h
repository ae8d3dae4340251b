// Chat templates: the Jinja program of a model's metadata, run over a conversation.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gguf/gguf_file.h"
#include "gguf/result.h"

namespace quern {

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// Immutable after Parse; Render may be called from many threads.
///
/// A template is a program from a stranger's file. Its source, nesting, recursion, look-ups and
/// ranges are bounded, so that it cannot hang or overflow the stack by loops or self-calls. What
/// the engine leaves unbounded: text that multiplies itself ('x' * n, or doubling in a loop), and
/// macros that recurse through a parameter.
class ChatTemplate {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// `bos` and `eos` are the texts that the template may print as bos_token and eos_token.
  static Result<ChatTemplate> Parse(std::string_view source, std::string bos, std::string eos);

  /// The template of a model file, tokenizer.chat_template. Errors: kNotFound when the file has
  /// none.
  static Result<ChatTemplate> Load(const GgufFile& file);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// The prompt text; special tokens in it are to be parsed, and BOS not added again when the text
  /// begins with it. `now` is what strftime_now tells, in local time. Errors: kInvalidArgument with
  /// the template's own message (raise_exception) or what it could not do.
  Result<std::string> Render(std::span<const ChatMessage> messages, bool add_generation_prompt,
                             Time now = std::chrono::system_clock::now()) const;

  const std::string& source() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace quern
