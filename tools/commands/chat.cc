// `quern chat`: a conversation in the terminal, with the model's chat template.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/architecture.h"
#include "tools/cli/commands.h"
#include "tools/options/generation_options.h"
#include "tools/terminal/interrupt.h"
#include "tools/terminal/line_reader.h"

namespace quern {
namespace {

constexpr std::string_view kHelp =
    "/help         this list\n"
    "/reset        forget the conversation\n"
    "/regen        answer the last message again\n"
    "/system TEXT  set the system prompt and forget the conversation; without TEXT there is none\n"
    "/exit         leave (Ctrl-D and two Ctrl-C at the prompt do too)\n"
    "Ctrl-C stops an answer. A line that ends in \\ goes on in the next. Arrow keys edit a line "
    "and\n"
    "bring earlier ones back; Ctrl-R searches them.\n";

// Ctrl-C takes effect between steps: at 20 tokens of a prompt a second, as an 8B model has on two
// cores, a step of 64 takes three seconds, one of 512 almost half a minute.
constexpr size_t kBatchSize = 64;

struct ChatOptions {
  GenerationOptions generation{kBatchSize};
  std::string system;
  std::string first_message;
  bool single_turn = false;
  bool verbose = false;
};

/// How things look: colours and a prompt for a person at a terminal, answers alone for a pipe.
struct Style {
  bool interactive = false;
  bool colours = false;

  static Style Detect() {
    Style style;
    style.interactive = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string_view(value == nullptr ? "" : value);
    };
    style.colours = style.interactive && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
    return style;
  }
};

class Conversation {
 public:
  Conversation(const ChatOptions& options, Session session, const SamplingParams& sampling)
      : options_(options),
        session_(std::move(session)),
        sampling_(sampling),
        style_(Style::Detect()) {
    if (style_.interactive) interrupt_.emplace();
    Reset(options.system);
  }

  Result<int> Run() {
    Greet();
    if (!options_.first_message.empty()) {
      if (style_.interactive) fmt::print("> {}\n", options_.first_message);
      if (Status status = Say(options_.first_message); !status) return Propagate(status);
      if (options_.single_turn) return 0;
    }
    LineReader reader = interrupt_ ? LineReader(&*interrupt_, style_.colours) : LineReader();
    bool leaving = false;  // Ctrl-C was the last thing that happened at the prompt
    for (;;) {
      std::string line;
      const LineReader::Outcome outcome = reader.Read(line);
      if (outcome == LineReader::Outcome::kEnd) {
        if (style_.interactive) Print("\n");
        return 0;
      }
      if (outcome == LineReader::Outcome::kInterrupted) {
        Print(style_.colours ? "^C\033[J\n" : "^C\n");  // nothing of the line behind the cursor
        if (leaving) return kInterruptedExit;
        leaving = true;
        Note("Ctrl-C again, Ctrl-D or /exit leaves.");
        continue;
      }
      leaving = false;
      const size_t end = line.find_last_not_of(" \t\n") + 1;
      if (end == 0) continue;
      const std::string_view command =
          line.front() == '/' ? std::string_view(line).substr(0, end) : std::string_view();
      if (command == "/exit" || command == "/quit" || command == "/bye") return 0;
      Status status = command.empty() ? Say(line) : RunCommand(command);
      if (!status) {
        if (!style_.interactive) return Propagate(status);
        Note(status.error().message);
      }
      if (options_.single_turn) return 0;
    }
  }

 private:
  static constexpr int kInterruptedExit = 130;  // 128 + SIGINT, as a shell reports it

  static void Print(std::string_view text) {
    fmt::print("{}", text);
    std::fflush(stdout);
  }

  /// A remark of the program: on stderr when answers go to a pipe, so that it does not mix with
  /// them.
  void Note(std::string_view text) const {
    if (style_.interactive) {
      fmt::print("{}{}{}\n", style_.colours ? "\033[2m" : "", text,
                 style_.colours ? "\033[0m" : "");
    } else {
      fmt::print(stderr, "{}\n", text);
    }
  }

  void Greet() {
    if (!style_.interactive) return;
    const Model& model = session_.model();
    Note(fmt::format("{} ({}, {:.1f} MB of weights), context {} tokens. /help lists the commands.",
                     session_.name(), model.hparams().architecture->name,
                     static_cast<double>(model.weight_bytes()) * 1e-6, session_.n_ctx()));
  }

  void Reset(std::string_view system) {
    messages_.clear();
    if (!system.empty()) messages_.push_back({"system", std::string(system)});
  }

  Status RunCommand(std::string_view line) {
    const size_t space = line.find(' ');
    const std::string_view name = line.substr(0, space);
    const std::string_view text =
        space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    if (name == "/help") {
      Print(kHelp);
    } else if (name == "/reset" || name == "/clear") {
      const bool has_system = !messages_.empty() && messages_.front().role == "system";
      Reset(has_system ? std::string(messages_.front().content) : std::string());
      Note("The conversation is forgotten.");
    } else if (name == "/system") {
      Reset(text);
      Note(text.empty() ? "No system prompt." : "A new conversation with this system prompt.");
    } else if (name == "/regen") {
      if (messages_.empty() || messages_.back().role != "assistant") {
        Note("There is no answer yet.");
        return {};
      }
      const ChatMessage answer = std::move(messages_.back());
      messages_.pop_back();
      ++sampling_.seed;  // the same seed would give the same answer
      Status status = AnswerLast();
      if (!status) messages_.push_back(answer);
      return status;
    } else {
      Note(fmt::format("No command {}; /help lists them.", name));
    }
    return {};
  }

  Status Say(const std::string& text) {
    messages_.push_back({"user", text});
    Status status = AnswerLast();
    if (!status) messages_.pop_back();
    return status;
  }

  /// Answers the user's message that the conversation ends with.
  Status AnswerLast() {
    Result<std::vector<Token>> prompt = session_.model().EncodeChat(messages_);
    if (!prompt) return Propagate(prompt);
    if (prompt->size() >= session_.n_ctx()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the conversation has {} tokens and no longer fits the context of {}: {}",
                  prompt->size(), session_.n_ctx(), kMoreRoom);
    }
    Result<FinishedAnswer> answer =
        session_.Run(options_.generation.Request(*std::move(prompt), sampling_), Print,
                     [this] { return interrupt_ && interrupt_->Take(); });
    if (!answer) return Propagate(answer);
    Print("\n");
    messages_.push_back({"assistant", answer->text});
    if (answer->finish_reason == FinishReason::kCancelled) Note("Stopped.");
    if (answer->finish_reason == FinishReason::kLength) NoteLength(answer->stats);
    if (options_.verbose) PrintTimings(session_, answer->stats);
    return {};
  }

  void NoteLength(const GenerateStats& stats) {
    if (stats.prompt_tokens + stats.generated_tokens >= session_.n_ctx()) {
      Note(fmt::format("The answer stops here: the context of {} tokens is full. {}.",
                       session_.n_ctx(), kMoreRoom));
    } else {
      Note(fmt::format("The answer stops here: -n allows {} tokens.", stats.generated_tokens));
    }
  }

  static constexpr std::string_view kMoreRoom = "/reset begins anew, -c N gives more room";

  const ChatOptions& options_;
  Session session_;
  SamplingParams sampling_;
  Style style_;
  std::optional<InterruptCatcher> interrupt_;  ///< where Ctrl-C is not to end the program
  std::vector<ChatMessage> messages_;
};

Result<int> Chat(const ChatOptions& options) {
  Result<GenerationOptions::Loaded> loaded = options.generation.Load();
  if (!loaded) return Propagate(loaded);
  if (loaded->session.model().chat_template() == nullptr) {
    return Fail(ErrorCode::kNotFound,
                "{} has no chat template: give one with --chat-template-file, or use quern run",
                loaded->session.name());
  }
  return Conversation(options, std::move(loaded->session), loaded->sampling).Run();
}

}  // namespace

void AddChatCommand(Commands& commands) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = commands.Add("chat", "Talk with a model, or answer each line of stdin",
                                   [options] { return Chat(*options); });
  command->add_option("-p,--prompt", options->first_message, "Say this first");
  command->add_option("--system-prompt", options->system, "System prompt (also -sys)");
  command->add_flag("--single-turn", options->single_turn, "Leave after one answer (also -st)");
  options->generation.AddTo(command);
  options->generation.AddChatTemplateTo(command);
  command->add_flag("-v,--verbose", options->verbose, "Print times to stderr after each answer");
}

}  // namespace quern
