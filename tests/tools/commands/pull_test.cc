// The commands pull, list and rm, and -hf wherever a command takes a model.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/await.h"
#include "tests/testing/local_hub.h"
#include "tests/testing/read_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tools/demo_model/demo_model.h"
#include "tools/hub/file_lock.h"
#include "tools/hub/partial_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::LocalHub;
using ::testing::Not;
using testing::Outcome;
using testing::PatternOf;
using testing::RunCommand;

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* variable : {"HF_TOKEN", "HF_ENDPOINT", "MODEL_ENDPOINT", "XDG_CACHE_HOME"}) {
      unsetenv(variable);
    }
    setenv("QUERN_CACHE", cache_.path().c_str(), 1);
  }
  void TearDown() override { unsetenv("QUERN_CACHE"); }

  void AddDemo(const std::string& path) {
    const auto bytes = DemoModelBytes();
    hub_.Add(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  Outcome Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--hf-endpoint", hub_.endpoint()});
    return RunCommand(std::move(arguments));
  }
  std::string PathOf(const std::string& file) const {
    return cache_.File("models/org/repo/main/" + file);
  }

  testing::TempDir cache_;
  LocalHub hub_;
};

TEST_F(PullTest, PullsListsAndRemoves) {
  hub_.Add("m-Q4_K_M.gguf", PatternOf(2048));
  hub_.Add("m-Q8_0.gguf", PatternOf(1000));
  EXPECT_THAT(RunCommand({"list"}).err, HasSubstr("no models in " + cache_.path()));
  const Outcome pulled = Run({"pull", "org/repo"});
  EXPECT_EQ(pulled.exit_code, 0) << pulled.err;
  EXPECT_EQ(pulled.out, PathOf("m-Q4_K_M.gguf") + "\n");
  EXPECT_EQ(Run({"pull", "org/repo:q8_0"}).exit_code, 0);
  const std::string list = RunCommand({"list"}).out;
  EXPECT_THAT(list, HasSubstr("  name"));
  EXPECT_THAT(list, ContainsRegex("  org/repo:Q4_K_M   Q4_K_M   2.00 KiB   20..-..-.. ..:..   "
                                  "m-Q4_K_M.gguf\n"));
  EXPECT_THAT(list, HasSubstr("org/repo:Q8_0"));

  const Outcome removed = RunCommand({"rm", "org/repo:q4_k_m"});
  EXPECT_EQ(removed.out, "removed org/repo/m-Q4_K_M.gguf (2.00 KiB)\n");
  EXPECT_FALSE(fs::exists(PathOf("m-Q4_K_M.gguf")));
  EXPECT_TRUE(fs::exists(PathOf("m-Q8_0.gguf")));
  EXPECT_EQ(RunCommand({"rm", "org/repo:q4_k_m"}).err,
            "error: org/repo:q4_k_m: not in " + cache_.path() + ", which has of it: m-Q8_0.gguf\n");
  EXPECT_EQ(RunCommand({"rm", "org/repo"}).exit_code, 0);
  EXPECT_THAT(RunCommand({"rm", "org/repo"}).err, HasSubstr("error: org/repo: not in "));
  EXPECT_TRUE(fs::is_empty(cache_.File("models")));
}

TEST_F(PullTest, WhatIsBeingDownloadedIsNotRemoved) {
  hub_.Add("m.gguf", PatternOf(1000));
  ASSERT_EQ(Run({"pull", "org/repo"}).exit_code, 0);
  const auto lock = FileLock::TryAcquire(PathOf("m.gguf.lock"));
  ASSERT_TRUE(lock && *lock);
  EXPECT_THAT(RunCommand({"rm", "org/repo"}).err,
              HasSubstr("m.gguf: another process downloads it"));
  EXPECT_TRUE(fs::exists(PathOf("m.gguf")));
}

TEST_F(PullTest, ModelsAreTakenFromTheHubAndThenFromTheCache) {
  AddDemo("demo-Q4_K_M.gguf");
  const Outcome first = Run({"tokenize", "-hf", "org/repo", "-p", "A mill", "--ids"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.out, RunCommand({"tokenize", "-p", "A mill", "--ids"}).out);
  const size_t n_requests = hub_.seen().size();
  EXPECT_EQ(Run({"tokenize", "-hf", "org/repo:q4_k_m", "-p", "A mill", "--ids"}).out, first.out);
  EXPECT_EQ(Run({"tokenize", "-hf", "org/repo", "-hff", "demo-Q4_K_M.gguf", "-p", "A mill", "--ids",
                 "--offline"})
                .out,
            first.out);
  EXPECT_EQ(Run({"detokenize", "-hf", "org/repo", "5", "6"}).out,
            RunCommand({"detokenize", "5", "6"}).out);
  EXPECT_EQ(hub_.seen().size(), n_requests);
  EXPECT_THAT(Run({"tokenize", "-hf", "org/repo", "-m", "x.gguf", "-p", "A"}).err,
              HasSubstr("error: a file, 'x.gguf', and --hf-repo: give one of them"));
  EXPECT_THAT(Run({"tokenize", "-hff", "x.gguf", "-p", "A"}).err,
              HasSubstr("--hf-file requires --hf-repo"));
  EXPECT_THAT(Run({"run", "-hf", "org/other", "-p", "A", "--offline"}).err,
              HasSubstr("org/other: not in the cache"));
  EXPECT_THAT(Run({"run", "-hf", "nonsense", "-p", "A"}).err,
              HasSubstr("'nonsense' names no model of a hub, expected ORG/REPO[:QUANT]"));
}

TEST_F(PullTest, VariablesStandInForOptions) {
  AddDemo("demo.gguf");
  hub_.faults().token = "hf_secret";
  setenv("MODEL_ENDPOINT", "http://127.0.0.1:1", 1);
  setenv("HF_ENDPOINT", hub_.endpoint().c_str(), 1);
  const Outcome refused = RunCommand({"pull", "org/repo"});
  EXPECT_THAT(refused.err, HasSubstr("give a token with HF_TOKEN or --hf-token"));
  setenv("HF_TOKEN", "hf_secret", 1);
  const Outcome pulled = RunCommand({"pull", "org/repo"});
  EXPECT_EQ(pulled.exit_code, 0) << pulled.err;
  const Outcome wrong = RunCommand({"pull", "org/repo", "-hft", "hf_wrong"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.err, Not(HasSubstr("hf_wrong")));
  unsetenv("HF_ENDPOINT");
  EXPECT_THAT(RunCommand({"pull", "org/repo"}).err, HasSubstr("no answer from the hub"));
  for (const char* variable : {"HF_TOKEN", "MODEL_ENDPOINT"}) unsetenv(variable);
}

TEST_F(PullTest, TheCacheIsWhereTheSystemHasSuch) {
  const testing::TempDir home;
  hub_.Add("m.gguf", PatternOf(10));
  const std::string file = "/quern/models/org/repo/main/m.gguf\n";
  unsetenv("QUERN_CACHE");
  setenv("XDG_CACHE_HOME", home.path().c_str(), 1);
  EXPECT_EQ(Run({"pull", "org/repo"}).out, home.path() + file);
  unsetenv("XDG_CACHE_HOME");
  const std::string old_home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  setenv("HOME", home.path().c_str(), 1);
  EXPECT_EQ(Run({"pull", "org/repo"}).out, home.path() + "/.cache" + file);
  setenv("HOME", old_home.c_str(), 1);
  EXPECT_EQ(Run({"pull", "org/repo", "--cache-dir", home.File("x")}).out,
            home.path() + "/x/models/org/repo/main/m.gguf\n");
}

/// `quern` in a process of its own.
pid_t Spawn(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), QUERN_EXECUTABLE);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  EXPECT_EQ(posix_spawn(&child, QUERN_EXECUTABLE, nullptr, nullptr, argv.data(), environ), 0);
  return child;
}

TEST_F(PullTest, GoesOnAfterItWasKilled) {
  const std::string content = PatternOf(4 << 20);
  hub_.Add("m-Q4_K_M.gguf", content);
  hub_.faults().before_bytes = [](size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  const pid_t child = Spawn({"pull", "org/repo", "--hf-endpoint", hub_.endpoint()});
  ASSERT_GT(child, 0);
  const std::string path = PathOf("m-Q4_K_M.gguf");
  testing::Await("the first bytes", [&] {
    return PartialFile::ExtentAt(path).n_done > 0 || waitpid(child, nullptr, WNOHANG) != 0;
  });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const uint64_t n_done = PartialFile::ExtentAt(path).n_done;
  ASSERT_GT(n_done, 0);
  ASSERT_LT(n_done, content.size());
  EXPECT_THAT(RunCommand({"list"}).out, HasSubstr(" so far"));

  hub_.Change([](testing::HubFaults& faults) { faults = {}; });
  const size_t n_before = hub_.seen().size();
  const Outcome pulled = Run({"pull", "org/repo"});
  EXPECT_EQ(pulled.exit_code, 0) << pulled.err;
  EXPECT_TRUE(testing::ReadFile(path) == content);
  // The listing, what the file is, and then nothing of what was there.
  ASSERT_GT(hub_.seen().size(), n_before + 2);
  EXPECT_EQ(hub_.seen()[n_before + 2].range,
            "bytes=" + std::to_string(n_done) + "-" + std::to_string(content.size() - 1));
}

}  // namespace
}  // namespace quern
