#include "tools/service/service_copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using testing::ReadFile;
using testing::TempDir;
using ::testing::UnorderedElementsAre;
using testing::WriteFile;

class ServiceCopies : public ::testing::Test {
 protected:
  ServiceCopies() {
    fs::create_directory(folder_);
    WriteFile(keys_, "old keys");
    WriteFile(rules_, "old rules");
  }

  Status Copy() const { return CopyForService(files_, folder_); }
  std::string CopyOf(const std::string& name) const { return ReadFile(folder_ + "/" + name); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  const TempDir dir_;
  const std::string folder_ = dir_.File("run");
  const std::string keys_ = dir_.File("my keys 100%");
  const std::string rules_ = dir_.File("rules");
  const std::vector<ServiceFile> files_ = {{"api-key-file", keys_}, {"screening", rules_}};
};

TEST_F(ServiceCopies, AreMadeAndMadeAnew) {
  ASSERT_TRUE(Copy());
  EXPECT_EQ(CopyOf("api-key-file"), "old keys");
  EXPECT_EQ(CopyOf("screening"), "old rules");
  WriteFile(keys_, "new keys");
  ASSERT_TRUE(Copy());
  EXPECT_EQ(CopyOf("api-key-file"), "new keys");
  EXPECT_THAT(Names(), UnorderedElementsAre("api-key-file", "screening"));
}

TEST_F(ServiceCopies, AreReadableByTheFoldersOwnerAlone) {
  constexpr uid_t kUser = 61234;
  const bool is_root = chown(folder_.c_str(), kUser, kUser) == 0;
  ASSERT_TRUE(Copy());
  struct stat info = {};
  ASSERT_EQ(stat((folder_ + "/api-key-file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0400U);
  EXPECT_EQ(info.st_uid, is_root ? kUser : getuid());
}

TEST_F(ServiceCopies, WhoReadsMeanwhileKeepsTheOldOne) {
  ASSERT_TRUE(Copy());
  std::ifstream reader(folder_ + "/api-key-file");
  WriteFile(keys_, "new");
  ASSERT_TRUE(Copy());
  std::string text;
  std::getline(reader, text);
  EXPECT_EQ(text, "old keys");
}

TEST_F(ServiceCopies, StayAsTheyWereUnlessAllCanBeMade) {
  ASSERT_TRUE(Copy());
  WriteFile(keys_, "new keys");
  fs::remove(rules_);
  const Status status = Copy();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, rules_ + ": No such file or directory");
  EXPECT_EQ(CopyOf("api-key-file"), "old keys");
  EXPECT_EQ(CopyOf("screening"), "old rules");
  EXPECT_THAT(Names(), UnorderedElementsAre("api-key-file", "screening"));
}

TEST_F(ServiceCopies, TheFoldersOwnerCannotLeadThemElsewhere) {
  const std::string victim = dir_.File("victim");
  WriteFile(victim, "precious");
  for (const char* name : {"api-key-file", "api-key-file.new"}) {
    fs::create_symlink(victim, folder_ + "/" + name);
  }
  fs::create_hard_link(victim, folder_ + "/screening.new");
  ASSERT_TRUE(Copy());
  EXPECT_EQ(ReadFile(victim), "precious");
  EXPECT_FALSE(fs::is_symlink(folder_ + "/api-key-file"));
  EXPECT_EQ(CopyOf("screening"), "old rules");
}

TEST_F(ServiceCopies, NeedAFolder) {
  for (const std::string& path : {dir_.File("nowhere"), rules_}) {
    const Status status = CopyForService(files_, path);
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("cannot open the folder '" + path + "'"));
  }
  fs::create_directory_symlink(folder_, dir_.File("link"));
  EXPECT_FALSE(CopyForService(files_, dir_.File("link")));
}

TEST_F(ServiceCopies, ANameThatIsTakenIsAnError) {
  fs::create_directory(folder_ + "/api-key-file.new");
  const Status status = Copy();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message,
              HasSubstr("cannot write '" + folder_ + "/api-key-file.new': File exists"));
  EXPECT_THAT(Names(), UnorderedElementsAre("api-key-file.new"));
}

}  // namespace
}  // namespace quern
