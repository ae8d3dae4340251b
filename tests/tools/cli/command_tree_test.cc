#include "tools/cli/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tools/cli/commands.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const ArgumentDescription& Named(const CommandDescription& command, const std::string& name) {
  for (const ArgumentDescription& option : command.options) {
    for (const std::string& each : option.names) {
      if (each == name) return option;
    }
  }
  ADD_FAILURE() << "no option " << name;
  static const ArgumentDescription kNone;
  return kNone;
}

TEST(CommandTree, TellsOfEachArgumentWhatItTakes) {
  CLI::App app("Runs", "run");
  int number = 7;
  int mode = 0;
  bool flag = false;
  std::string text;
  std::vector<std::string> texts;
  app.add_option("-p,--parallel", number, "How many")->capture_default_str()->envname("NUMBER");
  app.add_option("--mode", mode, "How")
      ->transform(CLI::CheckedTransformer(std::map<std::string, int>{{"slow", 0}, {"fast", 1}}))
      ->type_name("MODE");
  app.add_option("--form", text, "Form")->check(CLI::IsMember({"md", "json"}));
  app.add_option("--key-file", text, "Key")->type_name("FILE")->required();
  app.add_option("--cache-dir", text, "Where")->type_name("FOLDER");
  app.add_option("--stop", texts, "Texts")->group("Ends");
  app.add_flag("--json", flag, "Print JSON");
  app.add_option("MODEL,-m", text, "GGUF file")->type_name("MODEL");
  const CommandDescription command = Describe(app);

  const ArgumentDescription& parallel = Named(command, "-p");
  EXPECT_THAT(parallel.names, ElementsAre("-p", "--parallel"));
  EXPECT_THAT(parallel.more_names, ElementsAre("-np"));
  EXPECT_EQ(parallel.description, "How many (default: 7)");
  EXPECT_EQ(parallel.variable, "NUMBER");
  EXPECT_EQ(parallel.word, "N");
  EXPECT_EQ(parallel.kind, ValueKind::kFree);
  EXPECT_FALSE(parallel.may_repeat);
  EXPECT_THAT(Named(command, "--mode").choices, ElementsAre("fast", "slow"));
  EXPECT_EQ(Named(command, "--mode").word, "MODE");
  EXPECT_THAT(Named(command, "--form").choices, ElementsAre("md", "json"));
  EXPECT_EQ(Named(command, "--form").kind, ValueKind::kChoice);
  EXPECT_EQ(Named(command, "--key-file").kind, ValueKind::kFile);
  EXPECT_TRUE(Named(command, "--key-file").is_required);
  EXPECT_EQ(Named(command, "--cache-dir").kind, ValueKind::kFolder);
  EXPECT_TRUE(Named(command, "--stop").may_repeat);
  EXPECT_EQ(Named(command, "--stop").group, "Ends");
  EXPECT_EQ(Named(command, "--json").kind, ValueKind::kNone);
  EXPECT_EQ(Named(command, "--json").word, "");
  // Given either way.
  EXPECT_EQ(Named(command, "-m").kind, ValueKind::kModel);
  ASSERT_EQ(command.positionals.size(), 1U);
  EXPECT_THAT(command.positionals.front().names, ElementsAre("MODEL"));
  EXPECT_EQ(command.positionals.front().kind, ValueKind::kModel);
}

TEST(CommandTree, HasCommandsOfCommandsAndNothingHidden) {
  Commands commands;
  const auto body = [] { return 0; };
  CLI::App* key = commands.AddGroup("key", "Keys");
  commands.Add("new", "Make one", body, key);
  commands.Add("secret", "Hidden", body)->group("");
  bool flag = false;
  commands.Add("run", "Run", body)->add_flag("--hidden", flag, "Hidden")->group("");
  const CommandDescription root = Describe(commands.app());

  std::vector<std::string> all;
  for (const auto& [words, command] : AllCommands(root)) {
    all.push_back(words);
    for (const ArgumentDescription& option : command->options) {
      EXPECT_THAT(option.names, testing::Not(testing::Contains("--hidden")));
    }
  }
  EXPECT_THAT(all, ElementsAre("", " key", " key new", " run"));
  EXPECT_THAT(Named(root, "--version").choices, IsEmpty());
}

}  // namespace
}  // namespace quern
