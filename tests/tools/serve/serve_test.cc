// What `quern serve` says of its options; it does not get as far as to serve.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"
#include "tests/testing/write_file.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

using ::testing::EndsWith;
using testing::ExpectError;
using testing::RunCommand;
using testing::Variable;

TEST(Serve, APublicAddressNeedsAKey) {
  ExpectError(RunCommand({"serve", "--host", "0.0.0.0"}),
              "0.0.0.0 can be reached from other machines: that needs an API key");
}

TEST(Serve, KeyFilesAreChecked) {
  const testing::TempDir dir;
  std::ofstream(dir.File("keys")) << "# none\n";
  ExpectError(RunCommand({"serve", "--api-key-file", dir.File("keys")}), "keys has no API key");
  ExpectError(RunCommand({"serve", "--api-key-file", dir.File("missing")}),
              "cannot open the API key file");
}

TEST(Serve, AnEmptyKeyIsNoKey) {
  ExpectError(RunCommand({"serve", "--host", "0.0.0.0", "--api-key", ""}), "an API key is empty");
}

TEST(Serve, OriginsAreChecked) {
  ExpectError(RunCommand({"serve", "--cors-origins", "http://a,b"}), "'b' is no origin");
}

TEST(Serve, SamplingIsChecked) {
  ExpectError(RunCommand({"serve", "--temp", "-1"}), "temperature");
  ExpectError(RunCommand({"serve", "--logit-bias", "x"}), "--logit-bias 'x'");
}

TEST(Serve, ACheckSaysWhetherItCouldServe) {
  const testing::TempDir dir;
  EXPECT_THAT(RunCommand({"serve", "--check"}).out, EndsWith(" can be served\n"));
  std::ofstream(dir.File("keys")) << "# none\n";
  ExpectError(RunCommand({"serve", "--check", "--api-key-file", dir.File("keys")}),
              "keys has no API key");
  ExpectError(RunCommand({"serve", "--check", "/nowhere.gguf"}), "/nowhere.gguf");

  const std::string models = dir.File("models.toml");
  const std::vector<std::string> check = {"serve", "--check",     "--models-file",
                                          models,  "--audit-log", dir.File("no/log")};
  std::ofstream(models) << "[models.mill]\npath = 'mill.gguf'\n";
  ExpectError(RunCommand(check), "models.toml, line 1: the model mill: ");
  testing::WriteFile(dir.File("mill.gguf"), {reinterpret_cast<const char*>(DemoModelBytes().data()),
                                             DemoModelBytes().size()});
  EXPECT_EQ(RunCommand(check).out, "mill can be served\n");
  std::ofstream(models) << "[models.mill]\npath = 'mill.gguf'\ncontext = 1\n";
  ExpectError(RunCommand(check), "models.toml, line 3: unknown key 'context'");
}

TEST(Serve, TimeoutsAreChecked) { ExpectError(RunCommand({"serve", "-to", "0"}), "--timeout"); }

TEST(Serve, VariablesStandInForOptions) {
  {
    const Variable host("LLAMA_ARG_HOST", "0.0.0.0");
    ExpectError(RunCommand({"serve"}), "0.0.0.0 can be reached from other machines");
    ExpectError(RunCommand({"serve", "--host", "::"}), ":: can be reached from other machines");
  }
  for (const auto& [name, value, message] :
       {std::tuple{"LLAMA_ARG_MODEL", "/nowhere.gguf", "/nowhere.gguf"},
        {"LLAMA_ARG_PORT", "65536", "65536"},
        {"LLAMA_API_KEY", "a b", "an API key has a character"},
        {"LLAMA_ARG_API_KEY_FILE", "/nowhere", "cannot open the API key file '/nowhere'"},
        {"LLAMA_ARG_CORS_ORIGINS", "http://a,b", "'b' is no origin"},
        {"LLAMA_ARG_CTX_SIZE", "-1", "-1"},
        {"LLAMA_ARG_THREADS", "0", "0"},
        {"LLAMA_ARG_N_PREDICT", "-5", "-5"},
        {"LLAMA_ARG_CHAT_TEMPLATE", "chatml", "'chatml' prints no message"},
        {"LLAMA_ARG_CHAT_TEMPLATE_FILE", "/nowhere", "/nowhere"},
        {"LLAMA_ARG_TIMEOUT", "x", "x"}}) {
    const Variable variable(name, value);
    ExpectError(RunCommand({"serve"}), message);
  }
}

}  // namespace
}  // namespace quern
