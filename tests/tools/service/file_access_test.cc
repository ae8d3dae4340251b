#include "tools/service/file_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using testing::TempDir;

class FileAccess : public ::testing::Test {
 protected:
  FileAccess() {
    testing::WriteFile(file_, "x");
    fs::permissions(dir_.path(), fs::perms(0755));
    fs::permissions(folder_, fs::perms(0755));
  }

  /// The user that runs the test, who owns the file.
  static FileReader Owner() { return FileReader::Named(getpwuid(getuid())->pw_name).value(); }

  const TempDir dir_;
  const fs::path folder_ = dir_.File("folder");
  const fs::path file_ = folder_ / "m.gguf";
};

TEST_F(FileAccess, ModesTellWhoReads) {
  fs::permissions(file_, fs::perms(0604));
  EXPECT_TRUE(FileReader::Stranger().MayRead(file_, /*runs=*/false));
  EXPECT_TRUE(Owner().MayRead(file_, /*runs=*/false));
  fs::permissions(file_, fs::perms(0600));
  EXPECT_FALSE(FileReader::Stranger().MayRead(file_, /*runs=*/false));
  EXPECT_TRUE(Owner().MayRead(file_, /*runs=*/false));
  fs::permissions(file_, fs::perms(0044));
  EXPECT_FALSE(Owner().MayRead(file_, /*runs=*/false));
}

TEST_F(FileAccess, AProgramMustRun) {
  fs::permissions(file_, fs::perms(0744));
  EXPECT_FALSE(FileReader::Stranger().MayRead(file_, /*runs=*/true));
  EXPECT_TRUE(Owner().MayRead(file_, /*runs=*/true));
}

TEST_F(FileAccess, FoldersShutTheWay) {
  EXPECT_EQ(FileReader::Stranger().ClosedFolder(file_), std::nullopt);
  fs::permissions(folder_, fs::perms(0700));
  EXPECT_EQ(FileReader::Stranger().ClosedFolder(file_), folder_);
  EXPECT_EQ(Owner().ClosedFolder(file_), std::nullopt);
}

TEST_F(FileAccess, ALinkLeadsThroughOtherFolders) {
  const fs::path link = dir_.File("link.gguf");
  fs::create_symlink(file_, link);
  EXPECT_EQ(FileReader::Stranger().ClosedFolder(link), std::nullopt);
  fs::permissions(folder_, fs::perms(0700));
  EXPECT_EQ(FileReader::Stranger().ClosedFolder(link), folder_);
}

TEST_F(FileAccess, WhatIsRootsAloneOthersDoNotChange) {
  EXPECT_EQ(ChangedByOthers("/bin/sh"), std::nullopt);
  fs::permissions(file_, fs::perms(0646));
  EXPECT_NE(ChangedByOthers(file_), std::nullopt);
  if (getuid() != 0) GTEST_SKIP() << "files of others than root are changed by them anyway";
  const fs::path folder = fs::canonical(folder_);
  EXPECT_EQ(ChangedByOthers(file_), folder / file_.filename());
  fs::permissions(folder_, fs::perms(0757));
  EXPECT_EQ(ChangedByOthers(file_), folder);
  fs::permissions(folder_, fs::perms(01757));  // as /tmp
  EXPECT_EQ(ChangedByOthers(file_), folder / file_.filename());
  fs::permissions(file_, fs::perms(0644));
  EXPECT_EQ(ChangedByOthers(file_), std::nullopt);
}

TEST_F(FileAccess, UsersMustExist) {
  const Result<FileReader> nobody = FileReader::Named("no such user");
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("there is no user 'no such user'"));
}

}  // namespace
}  // namespace quern
