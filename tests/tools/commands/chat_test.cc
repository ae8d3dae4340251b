// `quern chat` as a person uses it, at a terminal, and with lines from a pipe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/testing/run_command.h"
#include "tests/testing/terminal.h"
#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::RunCommand;
using testing::Terminal;

constexpr const char* kUp = "\033[A";
constexpr const char* kLeft = "\033[D";
constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kGreeting = "/help lists the commands.";
constexpr const char* kBread = "dough of flour";  // of the demo model's answer
// A terminal gives up Ctrl-C and Ctrl-D to the line editor only once it prompts.
constexpr const char* kPrompt = ">";

std::vector<std::string> DemoChat() { return {QUERN_EXECUTABLE, "chat", "--temp", "0"}; }

TEST(Chat, HelpAndExit) {
  Terminal terminal(DemoChat());
  ASSERT_TRUE(terminal.WaitFor(kGreeting));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type("/help\r");
  EXPECT_TRUE(terminal.WaitFor("/regen"));
  EXPECT_TRUE(terminal.WaitFor("/exit"));
  terminal.Type("/what\r");
  EXPECT_TRUE(terminal.WaitFor("No command /what"));
  terminal.Type("/exit \r");
  EXPECT_EQ(terminal.ExitCode(), 0);
}

TEST(Chat, LinesAreEditedAndComeBack) {
  Terminal terminal(DemoChat());
  ASSERT_TRUE(terminal.WaitFor(kGreeting));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type(std::string("What does bread mea?") + kLeft + "n\r");
  EXPECT_TRUE(terminal.WaitFor(kBread));
  EXPECT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type(std::string(kUp) + "\r");
  EXPECT_TRUE(terminal.WaitFor(kBread));
  EXPECT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type("/regen\r");
  EXPECT_TRUE(terminal.WaitFor(kBread));
  EXPECT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type(kCtrlD);
  EXPECT_EQ(terminal.ExitCode(), 0);
}

TEST(Chat, CtrlCStopsAnAnswerAndNotTheProgram) {
  // Random weights and none of the tokens that end an answer: it would fill the context.
  SyntheticModel shapes;
  const testing::TinyModel model(shapes);
  std::vector<std::string> arguments = {QUERN_EXECUTABLE, "chat", model.path(), "-c", "100000"};
  for (uint32_t id = shapes.n_vocab - 5; id < shapes.n_vocab; ++id) {
    arguments.insert(arguments.end(), {"-l", std::to_string(id) + "-inf"});
  }
  Terminal terminal(arguments);
  ASSERT_TRUE(terminal.WaitFor(kGreeting));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  for (const std::string presses : {"\x03", "\x03\x03"}) {
    terminal.Type("hello\r");
    ASSERT_TRUE(terminal.WaitFor("hello"));
    ASSERT_TRUE(terminal.WaitFor("\n"));
    terminal.Type(presses);
    // At Ctrl-C a terminal drops what the program wrote and nobody read: the second may come after
    // the program stopped at the first, and take its word for it away.
    ASSERT_TRUE(terminal.WaitFor("Stopped.", "Ctrl-C again"));
    ASSERT_TRUE(terminal.WaitFor(kPrompt));
  }
  terminal.Type("/help\r");
  EXPECT_TRUE(terminal.WaitFor("/regen"));
  terminal.Type("/exit\r");
  EXPECT_EQ(terminal.ExitCode(), 0);
}

TEST(Chat, CtrlCGivesUpALineAndTwiceLeaves) {
  Terminal terminal(DemoChat());
  ASSERT_TRUE(terminal.WaitFor(kGreeting));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type("/exi");
  ASSERT_TRUE(terminal.WaitFor("/exi"));
  terminal.Type(kCtrlC);
  ASSERT_TRUE(terminal.WaitFor("Ctrl-C again"));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type("/help\r");
  ASSERT_TRUE(terminal.WaitFor("Ctrl-R searches them."));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type(kCtrlC);
  ASSERT_TRUE(terminal.WaitFor("Ctrl-C again"));
  ASSERT_TRUE(terminal.WaitFor(kPrompt));
  terminal.Type(kCtrlC);
  EXPECT_EQ(terminal.ExitCode(), 130);
}

TEST(Chat, AnswersTheLinesOfAPipe) {
  const Outcome outcome =
      RunCommand({"chat", "--temp", "0"}, "What does \\\nbread mean?\r\n\n/help\n/exit \nnever\n");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("/regen"));
  EXPECT_EQ(outcome.err, "");
  const Outcome once =
      RunCommand({"chat", "--temp", "0", "-st"}, "What does bread mean?\nWhat does word mean?");
  EXPECT_THAT(once.out, HasSubstr(kBread));
  EXPECT_EQ(std::count(once.out.begin(), once.out.end(), '\n'), 1) << "one answer";
}

TEST(Chat, SaysFirstWhatTheOptionGives) {
  const Outcome outcome =
      RunCommand({"chat", "--temp", "0", "-p", "What does bread mean?", "--single-turn", "-v"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(kBread));
  EXPECT_THAT(outcome.err, HasSubstr("tok/s"));
}

}  // namespace
}  // namespace quern
