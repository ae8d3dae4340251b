// `quern install-service`, and what systemd says of the units that it writes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "server/access/certificate.h"
#include "tests/testing/read_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"
#include "tests/testing/write_file.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::RunCommand;
using ::testing::StartsWith;
using testing::TempDir;
using testing::Variable;

Outcome Install(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "install-service");
  return RunCommand(std::move(arguments));
}

/// The unit that is made of these options.
std::string Printed(std::vector<std::string> arguments) {
  arguments.emplace_back("--print");
  const Outcome outcome = Install(std::move(arguments));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return outcome.out;
}

void ExpectError(std::vector<std::string> arguments, const std::string& message) {
  arguments.emplace_back("--print");
  testing::ExpectError(Install(std::move(arguments)), message);
}

TEST(InstallService, WritesAUnitAndSaysWhatIsNext) {
  const TempDir dir;
  const Outcome outcome = Install({"--output", dir.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string unit = dir.File("quern.service");
  EXPECT_THAT(outcome.out, StartsWith(unit + " is written"));
  for (const std::string& next :
       {std::string("systemctl daemon-reload"), "systemctl enable --now " + unit,
        std::string("journalctl -u quern")}) {
    EXPECT_THAT(outcome.out, HasSubstr(next));
  }
  EXPECT_EQ(testing::ReadFile(unit), Printed({}));
}

TEST(InstallService, WritesLogsWhereSystemdMakesAFolder) {
  const std::string unit = Printed({"--audit-log", "/var/log/quern/audit.log"});
  EXPECT_THAT(unit, HasSubstr("LogsDirectory=quern\n"));
  EXPECT_THAT(unit, HasSubstr("--audit-log /var/log/quern/audit.log"));
  EXPECT_THAT(Printed({}), Not(HasSubstr("LogsDirectory")));
  EXPECT_THAT(Printed({"--log-file", "/var/log/quern/quern.log"}),
              HasSubstr("LogsDirectory=quern\n"));
  for (const std::string option : {"--audit-log", "--log-file"}) {
    for (const char* elsewhere : {"/srv/a.log", "a.log", "/var/log/quern/../a.log"}) {
      ExpectError({option, elsewhere}, option + " is " + elsewhere +
                                           ": the service can write it to a file in "
                                           "/var/log/quern/ alone");
    }
  }
}

TEST(InstallService, HasAFolderForLogsByTheUnitsName) {
  const TempDir dir;
  const std::string log = "/var/log/mill/audit.log";
  ASSERT_EQ(Install({"-o", dir.File("mill.service"), "--audit-log", log}).exit_code, 0);
  EXPECT_THAT(testing::ReadFile(dir.File("mill.service")), HasSubstr("LogsDirectory=mill\n"));
  ExpectError({"-o", dir.File("mill.service"), "--audit-log", "/var/log/quern/audit.log"},
              "can write it to a file in /var/log/mill/ alone");
  ExpectError({"-o", "-", "--audit-log", log}, "can write it to a file in /var/log/quern/ alone");
}

TEST(InstallService, KeepsTheUsageOfKeysWhereSystemdMakesAFolder) {
  const TempDir dir;
  const std::string keys = dir.File("keys");
  testing::WriteFile(keys, "secret\n");
  EXPECT_THAT(Printed({}), Not(HasSubstr("StateDirectory")));
  const std::string unit = Printed({"--api-key-file", keys});
  EXPECT_THAT(unit, HasSubstr("StateDirectory=quern\nStateDirectoryMode=0700\n"));
  EXPECT_THAT(unit, HasSubstr("--usage-file /var/lib/quern/usage"));
  EXPECT_THAT(unit, Not(HasSubstr("LogsDirectory")));
  const std::string other =
      Printed({"--api-key-file", keys, "--usage-file", "/var/lib/quern/other"});
  EXPECT_THAT(other, HasSubstr("--usage-file /var/lib/quern/other"));
  EXPECT_THAT(other, Not(HasSubstr("/var/lib/quern/usage")));
  EXPECT_THAT(other, HasSubstr("StateDirectory=quern\n"));
  ExpectError({"--usage-file", "/srv/usage"},
              "--usage-file is /srv/usage: the service can write it to a file in /var/lib/quern/ "
              "alone");
}

TEST(InstallService, HasCertificatesCopied) {
  const TempDir dir;
  const std::string certificate = dir.File("server.crt");
  const std::string key = dir.File("server.key");
  ExpectError({"--ssl-cert-file", certificate, "--ssl-key-file", key}, "cannot open");
  const Certificate made = MakeCertificate({"localhost"}, 1).value();
  testing::WriteFile(certificate, made.pem);
  testing::WriteFile(key, made.key_pem);
  const std::string unit = Printed({"--ssl-cert-file", certificate, "--ssl-key-file", key});
  EXPECT_THAT(unit, HasSubstr("    --ssl-cert-file " + certificate + " \\\n"));
  EXPECT_THAT(unit, HasSubstr("    --ssl-key-file " + key + "\n"));
  EXPECT_THAT(unit, HasSubstr("    --ssl-key-file %t/%N/ssl-key-file\n"));
}

TEST(InstallService, ReloadsWhatTheServerReadsAgain) {
  const TempDir dir;
  testing::WriteFile(dir.File("keys"), "secret\n");
  testing::WriteFile(dir.File("rules"), "mill block mill\n");
  testing::WriteFile(dir.File("template"), "{{ messages[0].content }}");
  EXPECT_THAT(Printed({"--api-key-file", dir.File("keys")}), HasSubstr("\nExecReload="));
  EXPECT_THAT(Printed({"--screening", dir.File("rules")}), HasSubstr("\nExecReload="));
  // SIGHUP would end it.
  EXPECT_THAT(Printed({}), Not(HasSubstr("ExecReload")));
  EXPECT_THAT(Printed({"--chat-template-file", dir.File("template")}),
              Not(HasSubstr("ExecReload")));

  const std::vector<std::string> options = {"--api-key-file", dir.File("keys"), "-o", dir.path()};
  EXPECT_THAT(Install(options).out, HasSubstr("  systemctl reload quern\n"));
  EXPECT_THAT(Install({"-o", dir.path(), "--force"}).out, Not(HasSubstr("systemctl reload")));
}

TEST(InstallService, WhatRootRunsMustBeRootsAlone) {
  const TempDir dir;
  testing::WriteFile(dir.File("keys"), "secret\n");
  const fs::path program = fs::canonical("/proc/self/exe");
  const fs::perms before = fs::status(program).permissions();
  fs::permissions(program, fs::perms::others_write, fs::perm_options::add);
  const Outcome copying = Install({"--print", "--api-key-file", dir.File("keys")});
  const Outcome plain = Install({"--print"});
  fs::permissions(program, before);
  EXPECT_THAT(copying.err, HasSubstr("others than root can change"));
  EXPECT_THAT(plain.err, Not(HasSubstr("others than root can change")));
}

TEST(InstallService, ReplacesNoUnitUnlessItIsForcedTo) {
  const TempDir dir;
  const std::string unit = dir.File("mill.service");
  testing::WriteFile(unit, "mine");
  const Outcome refused = Install({"-o", unit});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr(unit + " exists already; --force replaces it"));
  EXPECT_EQ(testing::ReadFile(unit), "mine");
  EXPECT_EQ(Install({"-o", unit, "--force"}).exit_code, 0);
  EXPECT_THAT(testing::ReadFile(unit), StartsWith("[Unit]\n"));
}

TEST(InstallService, ADashIsStdout) {
  EXPECT_THAT(Install({"--output", "-"}).out, StartsWith("[Unit]\n"));
}

TEST(InstallService, OptionsOfServeGoIntoTheUnit) {
  const std::string unit =
      Printed({"--port", "8081", "-c", "512", "-np", "2", "--no-slots", "--temp", "0.5", "--alias",
               "100% \"rye\" $5", "--logit-bias", "3-1", "-n", "-1"});
  for (const char* line :
       {"serve", "--port 8081", "--ctx-size 512", "--parallel 2", "--no-slots", "--temp 0.5",
        R"(--alias "100%% \"rye\" $5")", "--predict=-1", "--kv-tokens 1024"}) {
    EXPECT_THAT(unit,
                AnyOf(HasSubstr(std::string(line) + " \\\n"), HasSubstr(std::string(line) + "\n")));
  }
  EXPECT_THAT(Printed({"--drain-timeout", "100"}), HasSubstr("\nTimeoutStopSec=130\n"));
}

TEST(InstallService, TakesWhatLlamaServersScriptsSay) {
  const std::string unit = Printed({"--metrics", "--slots", "-cb", "--jinja", "--no-webui"});
  EXPECT_THAT(unit, HasSubstr("--cont-batching"));
}

TEST(InstallService, SoDoesTheEnvironment) {
  const Variable port("LLAMA_ARG_PORT", "8082");
  EXPECT_THAT(Printed({}), HasSubstr("--port 8082"));
}

TEST(InstallService, SeveralModelsShareTheMemory) {
  const TempDir dir;
  const auto bytes = DemoModelBytes();
  for (const char* name : {"a.gguf", "b.gguf"}) {
    testing::WriteFile(dir.File(name), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  const std::string file = dir.File("m.toml");
  testing::WriteFile(file, "[models.a]\npath = 'a.gguf'\n[models.b]\npath = 'b.gguf'\n");
  for (const std::string& unit : {Printed({"--models-file", file, "--models-max", "1"}),
                                  Printed({"--models-dir", dir.path(), "--models-max", "1"})}) {
    for (const char* name : {"a.gguf", "b.gguf"}) EXPECT_THAT(unit, HasSubstr(dir.File(name)));
    EXPECT_THAT(unit, HasSubstr("--models-memory "));
    EXPECT_THAT(unit, HasSubstr("--models-max 1"));
  }
  EXPECT_THAT(Printed({"--models-file", file}), HasSubstr("--models-file " + file));
  EXPECT_THAT(Printed({"--models-file", file}), HasSubstr("    --check\nExecReload="));
  EXPECT_THAT(Install({"--print", "--models-file", file}).err,
              HasSubstr("warning: the service sees " + fs::canonical(file).string() +
                        " as it is at the start"));
  EXPECT_THAT(Printed({"--models-file", file, "--models-memory", "3GB"}),
              HasSubstr("\nMemoryMax=4697620480\n"));
  testing::WriteFile(file, "[models.a]\npath = 'c.gguf'\n");
  ExpectError({"--models-file", file}, ", line 1: the model a: ");
  ExpectError({"--models-file", file, "--model", "a.gguf"}, "--models-file");
}

TEST(InstallService, MemoryFollowsTheModel) {
  const std::string small = Printed({"--kv-tokens", "4096"});
  const std::string large = Printed({"--kv-tokens", "40960"});
  const auto memory = [](const std::string& unit) {
    const size_t at = unit.find("\nMemoryMax=");
    return at == std::string::npos ? 0 : std::stoull(unit.substr(at + 11));
  };
  EXPECT_GT(memory(small), size_t{1} << 30);
  EXPECT_GT(memory(large), memory(small));
}

TEST(InstallService, FilesAreNamedByTheirWholePath) {
  const TempDir dir;
  testing::WriteFile(dir.File("keys"), "secret\n");
  testing::WriteFile(dir.File("template"), "{{ messages[0].content }}");
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  const std::string unit =
      Printed({"--api-key-file", "keys", "--chat-template-file", "./template"});
  fs::current_path(before);
  const std::string folder = fs::canonical(dir.path()).string();
  EXPECT_THAT(unit, HasSubstr("--api-key-file %t/%N/api-key-file"));
  EXPECT_THAT(unit, HasSubstr("    --api-key-file " + folder + "/keys \\\n"));
  EXPECT_THAT(unit, HasSubstr("--chat-template-file %t/%N/chat-template-file"));
  EXPECT_THAT(unit, HasSubstr("    --chat-template-file " + folder + "/template\n"));
  EXPECT_THAT(unit, Not(HasSubstr("secret")));
}

TEST(InstallService, WhatTheServerWouldRefuseIsRefused) {
  ExpectError({"--host", "0.0.0.0"}, "0.0.0.0 can be reached from other machines");
  ExpectError({"/nowhere.gguf"}, "/nowhere.gguf");
  ExpectError({"--port", "x"}, "--port");
  ExpectError({"--kv-tokens", "1"}, "a KV cache of 1 tokens");
  ExpectError({"--api-key-file", "/nowhere"}, "cannot open the API key file '/nowhere'");
  ExpectError({"--chat-template-file", "/nowhere"}, "/nowhere");
}

TEST(InstallService, WhatAServiceMustNotHaveIsRefused) {
  ExpectError({"--api-key", "secret"}, "--api-key would stand in the unit for all to read");
  ExpectError({"--hf-token", "secret"}, "--hf-token would stand in the unit for all to read");
  ExpectError({"--hf-repo", "org/repo"}, "--hf-repo is not for a service");
  ExpectError({"--user-name", "no such user"}, "there is no user 'no such user'");
}

/// A model file in a folder for temporary files.
class InstallServiceModel : public ::testing::Test {
 protected:
  InstallServiceModel() {
    fs::permissions(dir_.path(), fs::perms(0700));
    testing::WriteFile(
        model_, {reinterpret_cast<const char*>(DemoModelBytes().data()), DemoModelBytes().size()});
    fs::permissions(model_, fs::perms(0644));
  }
  const TempDir dir_;
  const std::string model_ = fs::canonical(dir_.path()).string() + "/50% model.gguf";
  const std::string escaped_ = fs::canonical(dir_.path()).string() + "/50%% model.gguf";
};

TEST_F(InstallServiceModel, IsRevealedWhereTheUnitHidesFolders) {
  const std::string unit = Printed({model_});
  EXPECT_THAT(unit, HasSubstr("--model \"" + escaped_ + "\""));
  EXPECT_THAT(unit, HasSubstr("\nRequiresMountsFor=\"" + escaped_ + "\""));
  EXPECT_THAT(unit, HasSubstr("\nBindReadOnlyPaths=\"" + escaped_ + "\""));
}

TEST_F(InstallServiceModel, ThatTheServiceCannotReadIsWarnedOf) {
  EXPECT_THAT(Install({model_, "--print"}).err, Not(HasSubstr(model_)));
  fs::permissions(model_, fs::perms(0600));
  const Outcome outcome = Install({model_, "--print"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("warning: the service's own user cannot read " + model_ +
                                     ": chmod o+r " + model_));
  const std::string owner = getpwuid(getuid())->pw_name;
  EXPECT_THAT(Install({model_, "--print", "--user-name", owner}).err, Not(HasSubstr(model_)));
}

TEST_F(InstallServiceModel, InTheMappingTakesTheWatchdogLonger) {
  EXPECT_THAT(Printed({model_}), HasSubstr("\nWatchdogSec=120\n"));
  const uint64_t seconds = 120 + DemoModelBytes().size() / 50'000'000;
  EXPECT_THAT(Printed({model_, "--load", "mmap"}),
              HasSubstr(fmt::format("\nWatchdogSec={}\n", seconds)));
}

/// Runs `systemd-analyze` with the arguments; what it prints, and its exit code.
std::pair<int, std::string> Analyze(const std::string& arguments) {
  std::FILE* pipe = popen(("systemd-analyze " + arguments + " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    out.append(buffer.data(), n);
  }
  return {WEXITSTATUS(pclose(pipe)), out};
}

/// Units that are as different as they can be.
class SystemdAnalyze : public InstallServiceModel {
 protected:
  void SetUp() override {
    if (Analyze("--version").first != 0) GTEST_SKIP() << "systemd-analyze is not installed";
    testing::WriteFile(keys_, "secret\n");
    const std::vector<std::vector<std::string>> options = {
        {},
        {model_, "--host", "0.0.0.0", "--api-key-file", keys_, "--port", "443"},
        {model_, "--alias", "100% \"rye\"; $HOME \\ \n", "--user-name", "root"}};
    for (size_t i = 0; i < options.size(); ++i) {
      units_.push_back(dir_.File(fmt::format("quern-{}.service", i)));
      std::vector<std::string> arguments = options[i];
      arguments.insert(arguments.end(), {"--output", units_.back()});
      const Outcome outcome = Install(arguments);
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    }
  }

  const std::string keys_ = dir_.File("keys");
  std::vector<std::string> units_;
};

TEST_F(SystemdAnalyze, FindsNoFault) {
  for (const std::string& unit : units_) {
    const auto [code, out] = Analyze("verify --man=no " + unit);
    EXPECT_EQ(code, 0) << unit;
    EXPECT_EQ(out, "") << testing::ReadFile(unit);
  }
}

TEST_F(SystemdAnalyze, FindsLittleExposed) {
  for (const std::string& unit : units_) {
    const auto [code, out] = Analyze("security --offline=true --threshold=20 " + unit);
    EXPECT_EQ(code, 0) << out;
  }
}

}  // namespace
}  // namespace quern
