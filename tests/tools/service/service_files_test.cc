// `quern service-files`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "server/access/certificate.h"
#include "tests/testing/read_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using testing::Outcome;
using testing::ReadFile;
using testing::RunCommand;
using testing::TempDir;
using testing::WriteFile;

class ServiceFiles : public ::testing::Test {
 protected:
  ServiceFiles() {
    fs::create_directory(folder_);
    const Certificate made = MakeCertificate({"localhost"}, 1).value();
    WriteFile(dir_.File("crt"), made.pem);
    WriteFile(dir_.File("key"), made.key_pem);
    WriteFile(dir_.File("keys"), "secret\n");
    WriteFile(dir_.File("rules"), "mill block mill\n");
    WriteFile(dir_.File("template"), "{{ messages[0].content }}");
  }

  Outcome Copy() const {
    return RunCommand({"service-files", folder_, "--ssl-cert-file", dir_.File("crt"),
                       "--ssl-key-file", dir_.File("key"), "--api-key-file", dir_.File("keys"),
                       "--screening", dir_.File("rules"), "--chat-template-file",
                       dir_.File("template")});
  }

  const TempDir dir_;
  const std::string folder_ = dir_.File("run");
};

TEST_F(ServiceFiles, HaveTheOptionsNames) {
  const Outcome outcome = Copy();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const auto& [copy, file] : {std::pair{"ssl-cert-file", "crt"},
                                   {"ssl-key-file", "key"},
                                   {"api-key-file", "keys"},
                                   {"screening", "rules"},
                                   {"chat-template-file", "template"}}) {
    EXPECT_EQ(ReadFile(folder_ + "/" + copy), ReadFile(dir_.File(file))) << copy;
  }
}

TEST_F(ServiceFiles, ThatTheServerWouldRefuseAreNotCopied) {
  ASSERT_EQ(Copy().exit_code, 0);
  const auto expect_refusal = [this](const std::string& name, const std::string& text,
                                     const std::string& message) {
    const std::string good = ReadFile(dir_.File(name));
    WriteFile(dir_.File(name), text);
    const Outcome outcome = Copy();
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    WriteFile(dir_.File(name), good);
  };
  WriteFile(dir_.File("template"), "new");
  expect_refusal("keys", "secret\nmallory zz\n", dir_.File("keys") + ", line 2: ");
  expect_refusal("rules", "mill block (\n", dir_.File("rules") + ", line 1: ");
  expect_refusal("key", MakeCertificate({"localhost"}, 1).value().key_pem,
                 dir_.File("key") + "' holds no private key");
  EXPECT_EQ(ReadFile(folder_ + "/chat-template-file"), "{{ messages[0].content }}");
  EXPECT_EQ(Copy().exit_code, 0);
  EXPECT_EQ(ReadFile(folder_ + "/chat-template-file"), "new");
}

TEST_F(ServiceFiles, ACertificateNeedsItsKey) {
  const Outcome outcome = RunCommand({"service-files", folder_, "--ssl-cert-file", "crt"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("--ssl-key-file"));
}

}  // namespace
}  // namespace quern
