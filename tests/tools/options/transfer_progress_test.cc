#include "tools/options/transfer_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace quern {
namespace {

using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

TEST(TransferProgress, PrintsALineNowAndThen) {
  CaptureStderr();
  {
    TransferProgress progress("a/b", std::chrono::seconds(0));
    const PullReporter reporter = progress.Reporter();
    reporter.progress("downloading", 512, 1024);
    reporter.say("cut\n");
    reporter.progress("checking", 1024, 1024);
  }
  EXPECT_EQ(GetCapturedStderr(),
            "a/b: downloading 512 B of 1.00 KiB (50%)\n"
            "a/b: cut\\n\n"
            "a/b: checking 1.00 KiB of 1.00 KiB (100%)\n");
}

TEST(TransferProgress, PrintsNothingOfWhatIsQuicklyDone) {
  CaptureStderr();
  TransferProgress progress("a/b");
  progress.Reporter().progress("downloading", 512, 1024);
  EXPECT_EQ(GetCapturedStderr(), "");
}

}  // namespace
}  // namespace quern
