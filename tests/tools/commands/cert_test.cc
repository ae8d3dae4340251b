// What `quern cert` says is next; tests/server/clients/tls_test.mjs uses what it makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::RunCommand;
using testing::TempDir;

std::string Printed(const std::string& name) {
  const TempDir dir;
  return RunCommand({"cert", name, "--cert-file", dir.File("c"), "--key-file", dir.File("k")}).out;
}

TEST(Cert, OtherMachinesTakeAKey) {
  EXPECT_THAT(
      Printed("quern.example.org"),
      HasSubstr("Try: quern key new me\n"
                "     quern serve --host 0.0.0.0 --api-key-file quern.keys --ssl-cert-file"));
  EXPECT_THAT(Printed("localhost"), HasSubstr("Try: quern serve --ssl-cert-file"));
}

}  // namespace
}  // namespace quern
