#include "runtime/machine/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;

class Cgroup : public ::testing::Test {
 protected:
  std::vector<std::string> Folders(std::string_view cgroup_file, std::string_view controller) {
    testing::WriteFile(root_.File("proc/self/cgroup"), cgroup_file);
    std::vector<std::string> folders;
    for (const std::filesystem::path& folder : CgroupFolders(root_.path(), controller)) {
      folders.push_back(folder.lexically_relative(root_.path()).generic_string());
    }
    return folders;
  }

  testing::TempDir root_;
};

TEST_F(Cgroup, NamesTheGroupAndThoseAroundIt) {
  EXPECT_THAT(Folders("0::/system.slice/quern.service\n", ""),
              ElementsAre("sys/fs/cgroup/system.slice/quern.service", "sys/fs/cgroup/system.slice",
                          "sys/fs/cgroup/"));
  EXPECT_THAT(Folders("0::/\n", ""), ElementsAre("sys/fs/cgroup/"));
}

TEST_F(Cgroup, FindsAControllerOfTheFirstVersion) {
  const char* const lines =
      "9:name=systemd:/\n5:cpuset:/no\n4:cpu,cpuacct:/docker/a:b\n3:memory:/m\n0::/v2\n";
  EXPECT_THAT(Folders(lines, "cpu"), ElementsAre("sys/fs/cgroup/cpu/docker/a:b",
                                                 "sys/fs/cgroup/cpu/docker", "sys/fs/cgroup/cpu"));
  EXPECT_THAT(Folders(lines, "memory"),
              ElementsAre("sys/fs/cgroup/memory/m", "sys/fs/cgroup/memory"));
  EXPECT_THAT(Folders(lines, ""), ElementsAre("sys/fs/cgroup/v2", "sys/fs/cgroup/"));
}

TEST_F(Cgroup, TakesTheRootWhereTheFileTellsNothing) {
  EXPECT_THAT(Folders("", "cpu"), ElementsAre("sys/fs/cgroup/cpu"));
  EXPECT_THAT(Folders("nonsense\n0:\n::\n", "memory"), ElementsAre("sys/fs/cgroup/memory"));
  EXPECT_THAT(Folders("0::relative\n", ""), ElementsAre("sys/fs/cgroup/"));
}

}  // namespace
}  // namespace quern
