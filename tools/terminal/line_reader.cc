#include "tools/terminal/line_reader.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <utility>

namespace quern {
namespace {

constexpr std::array<int, 2> kRedrawSignals = {SIGCONT, SIGWINCH};
constexpr int kMostRemembered = 1000;
// Around what takes no room on the screen.
constexpr char kEscape = '\1';
constexpr const char* kPlainPrompt = "> ";
constexpr const char* kGreenPrompt = "\1\033[1;32m\1>\1\033[0m\1 ";
constexpr const char* kNextLinePrompt = "  ";

LineReader::Outcome ReadPlain(std::string& line) {
  char* buffer = nullptr;
  size_t capacity = 0;
  const ssize_t length = getline(&buffer, &capacity, stdin);
  if (length > 0) line.assign(buffer, static_cast<size_t>(length));
  std::free(buffer);
  return length > 0 ? LineReader::Outcome::kLine : LineReader::Outcome::kEnd;
}

}  // namespace

/// libedit with a history.
class LineReader::Editor {
 public:
  Editor(InterruptCatcher* interrupt, bool colours)
      : interrupt_(interrupt), first_prompt_(colours ? kGreenPrompt : kPlainPrompt) {
    // libedit takes characters as the locale says; one that knows only ASCII would refuse the rest.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    HistEvent event;
    history(history_.get(), &event, H_SETSIZE, kMostRemembered);
    history(history_.get(), &event, H_SETUNIQUE, 1);
    EditLine* line = line_.get();
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_PROMPT_ESC, &Prompt, kEscape);
    el_set(line, EL_HIST, history, history_.get());
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(line, EL_GETCFN, &ReadCharacter);
    // Handlers that do nothing, but end a wait: the terminal has another width, or forgot its mode
    // while the program was stopped.
    for (const int signal : kRedrawSignals) std::signal(signal, [](int) {});
  }
  ~Editor() {
    for (const int signal : kRedrawSignals) std::signal(signal, SIG_DFL);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  Outcome Read(std::string& part, bool is_first) {
    prompt_ = is_first ? first_prompt_ : kNextLinePrompt;
    interrupted_ = must_redraw_ = false;
    el_resize(line_.get());  // the window may have changed during an answer
    // Before the prompt, which says that keys now mean what they mean to an editor.
    el_set(line_.get(), EL_PREP_TERM, 1);
    int length = 0;
    const char* text = el_gets(line_.get(), &length);
    if (interrupted_) return Outcome::kInterrupted;
    if (text == nullptr || length <= 0) return Outcome::kEnd;
    part.assign(text, static_cast<size_t>(length));
    if (part.find_first_not_of(" \t\r\n") != std::string::npos) {
      HistEvent event;
      history(history_.get(), &event, H_ENTER, part.substr(0, part.find('\n')).c_str());
    }
    return Outcome::kLine;
  }

 private:
  struct Closer {
    void operator()(EditLine* line) const { el_end(line); }
    void operator()(History* history) const { history_end(history); }
  };

  static Editor& Of(EditLine* line) {
    void* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return *static_cast<Editor*>(self);
  }

  static char* Prompt(EditLine* line) { return const_cast<char*>(Of(line).prompt_); }

  /// The next character of the terminal; gives up at Ctrl-C, where libedit's own would go on.
  static int ReadCharacter(EditLine* line, wchar_t* character) {
    Editor& self = Of(line);
    std::mbstate_t state{};
    for (;;) {
      self.interrupted_ = self.interrupt_->Take();
      if (self.interrupted_) return 0;  // as at the end of the input
      if (std::exchange(self.must_redraw_, false)) Redraw(line);
      // Other signals are seen here: they restart a read, but never a poll.
      std::array<pollfd, 2> inputs = {
          {{STDIN_FILENO, POLLIN, 0}, {self.interrupt_->event(), POLLIN, 0}}};
      if (poll(inputs.data(), inputs.size(), -1) < 0) {
        if (errno != EINTR) return -1;
        self.must_redraw_ = true;
        continue;
      }
      if (inputs[0].revents == 0) continue;
      char byte = 0;
      const ssize_t n = read(STDIN_FILENO, &byte, 1);
      if (n <= 0) return static_cast<int>(n);
      const size_t length = std::mbrtowc(character, &byte, 1, &state);
      if (length <= 1) return 1;
      // -1: no character of the locale, which is passed over; -2: more bytes are to come.
      if (length == static_cast<size_t>(-1)) state = {};
    }
  }

  static void Redraw(EditLine* line) {
    el_set(line, EL_PREP_TERM, 0);  // it would not set the mode that it believes to be set
    el_set(line, EL_PREP_TERM, 1);
    el_resize(line);
    std::fputc('\r', stdout);
    el_set(line, EL_REFRESH);
  }

  InterruptCatcher* interrupt_;
  const char* first_prompt_;
  const char* prompt_ = "";
  bool interrupted_ = false;
  bool must_redraw_ = false;
  std::unique_ptr<History, Closer> history_{history_init()};
  std::unique_ptr<EditLine, Closer> line_{el_init("quern", stdin, stdout, stderr)};
};

LineReader::LineReader() = default;
LineReader::LineReader(InterruptCatcher* interrupt, bool colours)
    : editor_(std::make_unique<Editor>(interrupt, colours)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

LineReader::Outcome LineReader::Read(std::string& line) {
  line.clear();
  std::string part;
  Outcome outcome = ReadPart(part, /*is_first=*/true);
  while (outcome == Outcome::kLine && part.ends_with('\\')) {
    part.back() = '\n';
    line += part;
    outcome = ReadPart(part, /*is_first=*/false);
  }
  line += part;
  return outcome == Outcome::kEnd && !line.empty() ? Outcome::kLine : outcome;
}

LineReader::Outcome LineReader::ReadPart(std::string& part, bool is_first) {
  part.clear();
  const Outcome outcome = editor_ ? editor_->Read(part, is_first) : ReadPlain(part);
  if (part.ends_with('\n')) part.pop_back();
  if (part.ends_with('\r')) part.pop_back();
  return outcome;
}

}  // namespace quern
