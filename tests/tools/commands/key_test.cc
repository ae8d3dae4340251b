// What `quern key` says of its options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"

namespace quern {
namespace {

using testing::RunCommand;
using ::testing::StartsWith;
using testing::TempDir;
using testing::Variable;

void ExpectError(const std::vector<std::string>& arguments, const std::string& message) {
  testing::ExpectError(RunCommand(arguments), message);
}

TEST(Key, LimitsAreChecked) {
  const TempDir dir;
  for (const auto& [option, value, expected] :
       {std::tuple{"--rate", "5/fortnight", "/s, /min, /h or /day"},
        {"--concurrent", "0", "in range 1 to 1048576"},
        {"--tokens", "0", "in range 1 to 1125899906842624"}}) {
    ExpectError({"key", "new", "alice", "-f", dir.File("keys"), option, value}, expected);
  }
}

TEST(Key, SigningTakesAKeyAndAPath) {
  ExpectError({"key", "sign", "alice", "/v1/models"}, "set QUERN_API_KEY, or give --key");
  const Variable key("QUERN_API_KEY", "secret");
  ExpectError({"key", "sign", "alice", "v1/models"}, "'v1/models' is no path of a server");
  EXPECT_THAT(RunCommand({"key", "sign", "alice", "/v1/models"}).out,
              StartsWith("X-Quern-Key: alice\n"));
}

}  // namespace
}  // namespace quern
