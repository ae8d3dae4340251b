#include "tools/hub/file_lock.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <optional>

#include "tests/testing/await.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

TEST(FileLock, HoldsOthersOffAndLeavesNothing) {
  const testing::TempDir folder;
  const std::string path = folder.File("a.lock");
  {
    const Result<std::optional<FileLock>> first = FileLock::TryAcquire(path);
    ASSERT_TRUE(first && *first);
    const Result<std::optional<FileLock>> second = FileLock::TryAcquire(path);
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_FALSE(second->has_value());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(FileLock::TryAcquire(path).value().has_value());
}

TEST(FileLock, WaitsForItsEndAndSaysSo) {
  const testing::TempDir folder;
  const std::string path = folder.File("a.lock");
  std::optional<FileLock> first = std::move(FileLock::TryAcquire(path).value());
  std::promise<void> waits;
  auto second = std::async(std::launch::async, [&] {
    return FileLock::Acquire(path, [&] { waits.set_value(); }).has_value();
  });
  testing::AwaitValue("that the second waits", waits.get_future());
  first.reset();
  EXPECT_TRUE(testing::AwaitValue("the lock", second));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(FileLock, AFolderThatIsNotThereIsAnError) {
  const testing::TempDir folder;
  EXPECT_FALSE(FileLock::TryAcquire(folder.File("none/a.lock")));
  EXPECT_FALSE(FileLock::Acquire(folder.File("none/a.lock"), {}));
}

}  // namespace
}  // namespace quern
