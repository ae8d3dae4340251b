// `quern batch`: answers many independent requests at once, one JSON object a line in and out.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/read_text.h"
#include "tools/cli/commands.h"
#include "tools/options/generation_options.h"
#include "tools/terminal/progress_bar.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;

struct BatchOptions {
  GenerationOptions generation;
  std::string input;
  size_t n_parallel = 16;
};

/// The prompt text of one input line: `prompt` as it is, or `messages` through the chat template.
Result<std::string> PromptOf(const Json& request, const Session& session) {
  if (request.is_object() && request.contains("prompt") && request["prompt"].is_string()) {
    return request["prompt"].get<std::string>();
  }
  if (!request.is_object() || !request.contains("messages") || !request["messages"].is_array()) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected an object with a text 'prompt' or a list 'messages'");
  }
  std::vector<ChatMessage> messages;
  for (const Json& message : request["messages"]) {
    const auto text = [&message](const char* key) {
      return message.is_object() && message.contains(key) && message[key].is_string();
    };
    if (!text("role") || !text("content")) {
      return Fail(ErrorCode::kInvalidArgument, "a message lacks its text 'role' or 'content'");
    }
    messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
  }
  const ChatTemplate* chat_template = session.model().chat_template();
  if (chat_template == nullptr) {
    return Fail(ErrorCode::kNotFound, "{} has no chat template: give 'prompt'", session.name());
  }
  return chat_template->Render(messages, true);
}

/// Keeps the engine filled with requests, and prints their results in the order of the input.
class Batch {
 public:
  Batch(const BatchOptions& options, Session session, const SamplingParams& sampling)
      : options_(options), session_(std::move(session)), sampling_(sampling) {}

  Result<int> Run(std::string_view input) {
    ProgressBar bar;
    size_t position = 0;
    while (position < input.size() || n_running_ > 0) {
      while (position < input.size() && n_running_ < options_.n_parallel) {
        const size_t end = std::min(input.find('\n', position), input.size());
        Submit(input.substr(position, end - position));
        position = end + 1;
      }
      session_.engine().Step();
      PrintReady();
      bar.Show(Progress(static_cast<double>(std::min(position, input.size())) /
                        static_cast<double>(input.size())),
               "answering");
    }
    return n_failed_ == 0 ? 0 : 1;
  }

 private:
  struct Pending {
    Json result;
    std::string text;
    RequestId id = 0;
    bool done = false;
  };

  /// Starts the request of an input line; an error becomes its result.
  void Submit(std::string_view line) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const size_t index = n_submitted_++;
    Pending& pending = pending_[index];
    pending.result["index"] = index;
    if (Status status = Start(line, pending); !status) {
      pending.result["error"] = status.error().message;
      pending.done = true;
      ++n_failed_;
    }
  }

  Status Start(std::string_view line, Pending& pending) {
    const Json request = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (request.is_discarded()) return Fail(ErrorCode::kInvalidArgument, "the line is no JSON");
    Result<std::string> prompt = PromptOf(request, session_);
    if (!prompt) return Propagate(prompt);
    Result<RequestId> id = session_.engine().Submit(
        options_.generation.Request(session_.model().EncodePrompt(*prompt), sampling_),
        [this, &pending](const GenerateEvent& event) {
          pending.text += event.text;
          if (!event.finished) return;
          pending.result["text"] = pending.text;
          pending.result["finish_reason"] = NameOf(event.finish_reason);
          pending.result["prompt_tokens"] = event.stats.prompt_tokens;
          pending.result["generated_tokens"] = event.stats.generated_tokens;
          pending.done = true;
          --n_running_;
        });
    if (!id) return Propagate(id);
    ++n_running_;
    return {};
  }

  /// The share of the work that is done when `submitted` of the input was.
  double Progress(double submitted) const {
    const size_t n_started = n_printed_ + n_running_;
    if (n_started == 0) return submitted;  // blank lines alone
    return submitted * static_cast<double>(n_printed_) / static_cast<double>(n_started);
  }

  void PrintReady() {
    while (!pending_.empty() && pending_.begin()->second.done) {
      fmt::print("{}\n", pending_.begin()->second.result.dump(-1, ' ', false,
                                                              Json::error_handler_t::replace));
      pending_.erase(pending_.begin());
      ++n_printed_;
    }
  }

  const BatchOptions& options_;
  Session session_;
  SamplingParams sampling_;
  std::map<size_t, Pending> pending_;  ///< by index; a map, so that the sinks' references stay
  size_t n_submitted_ = 0;
  size_t n_running_ = 0;
  size_t n_printed_ = 0;
  size_t n_failed_ = 0;
};

Result<int> RunBatch(const BatchOptions& options) {
  Result<std::string> input = ReadText(options.input);
  if (!input) return Propagate(input);
  Result<GenerationOptions::Loaded> loaded = options.generation.Load(options.n_parallel);
  if (!loaded) return Propagate(loaded);
  return Batch(options, std::move(loaded->session), loaded->sampling).Run(*input);
}

}  // namespace

void AddBatchCommand(Commands& commands) {
  auto options = std::make_shared<BatchOptions>();
  CLI::App* command = commands.Add("batch", "Answer many requests at once, JSON lines in and out",
                                   [options] { return RunBatch(*options); });
  command
      ->add_option(
          "-f,--file", options->input,
          "File of requests, - is stdin: {\"prompt\": TEXT} or {\"messages\": [...]} a line")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--parallel", options->n_parallel,
                   "Requests that run at a time (default: 16; also -np)")
      ->check(CLI::Range(1, 4096));
  options->generation.AddTo(command);
  options->generation.AddChatTemplateTo(command);
}

}  // namespace quern
