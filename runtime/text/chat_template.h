// Chat templates: the Jinja program of a model's metadata, run over a conversation.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/machine/sandbox.h"

namespace quern {

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// A template is a program from a stranger's file, so it is parsed and run in a Sandbox: it can
/// fail, but neither crash nor hang the program. Render may be called from many threads.
class ChatTemplate {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// `bos` and `eos` are the texts that the template may print as bos_token and eos_token.
  static Result<ChatTemplate> Parse(std::string source, std::string bos, std::string eos,
                                    SandboxLimits limits = {});

  /// The template of a model file, tokenizer.chat_template; it is parsed when it is first rendered,
  /// which takes 30 to 200 ms that many commands can do without. A `source` stands in its place,
  /// and is parsed at once. Errors: kNotFound when there is none, and those of Parse.
  static Result<ChatTemplate> Load(const GgufFile& file,
                                   const std::optional<std::string>& source = std::nullopt);

  /// The prompt text; special tokens in it are to be parsed, and BOS not added again when the text
  /// begins with it. `now` is what strftime_now tells, in local time. Errors: kInvalidArgument with
  /// the template's own message (raise_exception) or what it could not do; kUnsupported when it
  /// does not parse, crashes or exceeds the limits.
  Result<std::string> Render(std::span<const ChatMessage> messages, bool add_generation_prompt,
                             Time now = std::chrono::system_clock::now()) const;

  const std::string& source() const { return source_; }

 private:
  ChatTemplate(std::string name, std::string source, std::string bos, std::string eos,
               SandboxLimits limits);
  Result<std::string> Ask(std::string_view request) const;

  std::string name_;  ///< what errors call it
  std::string bos_;
  std::string eos_;
  std::string source_;
  std::unique_ptr<Sandbox> sandbox_;
};

}  // namespace quern
