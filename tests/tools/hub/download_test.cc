#include "tools/hub/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/testing/local_hub.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"
#include "tools/hub/partial_file.h"

namespace quern {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::HubFaults;
using ::testing::IsEmpty;
using testing::LocalHub;
using ::testing::Not;
using testing::PatternOf;
using testing::ReadFile;

constexpr size_t kSize = 1 << 20;
constexpr size_t kPiece = 128 << 10;

class DownloadTest : public ::testing::Test {
 protected:
  DownloadTest() { hub_.Add("model.gguf", content_); }

  DownloadRequest Request() const {
    return {.url = hub_.FileUrl("model.gguf"),
            .token = "",
            .what = "model.gguf",
            .size = content_.size(),
            .sha256 = testing::Sha256Of(content_)};
  }
  Status Run(const DownloadRequest& request) {
    return Download(request, path_, options_,
                    {.say = [this](const std::string& line) { lines_.push_back(line); },
                     .progress = [this](uint64_t n_done) { progress_.push_back(n_done); },
                     .check = {}});
  }
  std::string ErrorOf(const DownloadRequest& request) {
    const Status status = Run(request);
    return status ? "" : status.error().message;
  }
  void ExpectWhole() {
    EXPECT_TRUE(ReadFile(path_) == content_);
    EXPECT_FALSE(HasPartial());
  }
  bool HasPartial() const { return std::filesystem::exists(path_ + ".partial"); }
  std::vector<std::string> Ranges() const {
    std::vector<std::string> ranges;
    for (const LocalHub::Seen& request : hub_.seen()) ranges.push_back(request.range);
    return ranges;
  }

  std::string content_ = PatternOf(kSize);
  testing::TempDir folder_;
  std::string path_ = folder_.File("model.gguf");
  LocalHub hub_;
  DownloadOptions options_ = {
      .n_connections = 4,
      .piece_bytes = kPiece,
      .retry = {.most_tries = 3, .first_wait = std::chrono::milliseconds(1)}};
  std::vector<std::string> lines_;
  std::vector<uint64_t> progress_;
};

TEST_F(DownloadTest, ComesInRanges) {
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
  EXPECT_EQ(hub_.n_sent(), kSize + 1);  // the one that told what the file is
  EXPECT_EQ(hub_.n_file_requests(), 1 + kSize / kPiece);
  EXPECT_THAT(Ranges(), Contains("bytes=131072-262143"));
  EXPECT_EQ(progress_.back(), kSize);
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(DownloadTest, ASizeThatNoPieceDivides) {
  content_ = PatternOf(3 * kPiece + 1);
  hub_.Add("model.gguf", content_);
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
}

TEST_F(DownloadTest, CutConnectionsGoOnWhereTheyStopped) {
  hub_.faults().n_cuts = 12;
  hub_.faults().cut_after = kPiece / 2;
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
  EXPECT_EQ(hub_.n_sent(), kSize + 1);
  EXPECT_THAT(lines_, Contains(HasSubstr("trying again in")));
}

TEST_F(DownloadTest, CutsThatBringNothingEndInAnError) {
  hub_.faults().n_cuts = 1000;
  EXPECT_THAT(ErrorOf(Request()), HasSubstr("model.gguf: the connection was cut 3 times: "));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(DownloadTest, AnotherProcessGoesOn) {
  hub_.faults().n_cuts = 1000;
  hub_.faults().cut_after = kPiece / 4;
  options_.n_connections = 1;
  options_.piece_bytes = kSize;
  // Each try brings something, so that only the hub's own refusal ends it.
  hub_.faults().before_bytes = [this](size_t offset) {
    if (offset <= kSize / 2) return;
    hub_.Change([](HubFaults& faults) { faults.statuses.assign(1, 404); });
  };
  EXPECT_THAT(ErrorOf(Request()), HasSubstr("(404)"));
  const uint64_t n_done = PartialFile::ExtentAt(path_).n_done;
  EXPECT_GT(n_done, kSize / 2);
  EXPECT_LT(n_done, kSize);

  hub_.faults() = {};
  const size_t n_sent = hub_.n_sent();
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
  EXPECT_EQ(hub_.n_sent() - n_sent, kSize - n_done + 1);
}

TEST_F(DownloadTest, BusyHubsAreAskedAgain) {
  hub_.faults().statuses = {503, 429};
  hub_.faults().retry_after = "0";
  std::atomic<bool> is_first = true;
  hub_.faults().before_bytes = [&](size_t) {
    if (!is_first.exchange(false)) return;
    hub_.Change([](HubFaults& faults) { faults.statuses = {500, 502}; });
  };
  options_.n_connections = 1;
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
}

TEST_F(DownloadTest, BusyHubsAreNotAskedForEver) {
  hub_.faults().statuses.assign(100, 429);
  EXPECT_THAT(ErrorOf(Request()), HasSubstr("too many requests (429)"));
  EXPECT_EQ(hub_.n_file_requests(), 3);
}

TEST_F(DownloadTest, AServerWithoutRangesIsReadFromTheStart) {
  hub_.faults().ignores_ranges = true;
  hub_.faults().n_cuts = 1;
  hub_.faults().cut_after = kSize / 2;
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
  EXPECT_EQ(hub_.n_file_requests(), 3);  // what it is, cut, whole
}

TEST_F(DownloadTest, AWrongHashLeavesNothing) {
  DownloadRequest request = Request();
  request.sha256 = std::string(64, '0');
  EXPECT_THAT(ErrorOf(request), HasSubstr("model.gguf: SHA-256 " + testing::Sha256Of(content_) +
                                          ", but the hub says 0000"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  EXPECT_THAT(lines_, Contains(HasSubstr("once more from the start")));
  EXPECT_GE(hub_.n_sent(), 2 * kSize);
}

TEST_F(DownloadTest, WhatIsBrokenOnTheDiskIsReadAgain) {
  {
    PartialFile file =
        PartialFile::Open(path_, {.size = kSize, .sha256 = Request().sha256, .etag = ""}).value();
    const std::string wrong(kPiece, 'x');
    ASSERT_TRUE(file.Write(0, std::as_bytes(std::span(wrong))));
  }
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
}

TEST_F(DownloadTest, TheHashOfTheHeaderWillDo) {
  hub_.faults().redirects = true;
  DownloadRequest request = Request();
  request.sha256.clear();
  ASSERT_EQ(ErrorOf(request), "");
  ExpectWhole();
  std::filesystem::remove(path_);
  {
    PartialFile file =
        PartialFile::Open(path_, {.size = kSize, .sha256 = Request().sha256, .etag = ""}).value();
    const std::string wrong(kPiece, 'x');
    ASSERT_TRUE(file.Write(0, std::as_bytes(std::span(wrong))));
  }
  ASSERT_EQ(ErrorOf(request), "");
  ExpectWhole();
  EXPECT_THAT(lines_, Contains(HasSubstr("SHA-256")));
}

TEST_F(DownloadTest, AnotherSizeThanTheListsIsAnError) {
  DownloadRequest request = Request();
  request.size += 1;
  EXPECT_THAT(ErrorOf(request), HasSubstr("1048576 bytes, but the hub's list says 1048577"));
  hub_.faults().ignores_ranges = true;
  EXPECT_THAT(ErrorOf(request), HasSubstr("1048576 bytes, but the hub's list says 1048577"));
}

TEST_F(DownloadTest, AFileThatChangesIsNotMixed) {
  const std::string other = PatternOf(kSize, 2);
  options_.n_connections = 1;
  std::atomic<bool> has_changed = false;
  hub_.faults().before_bytes = [&](size_t offset) {
    if (offset < kSize / 2 || has_changed.exchange(true)) return;
    hub_.Add("model.gguf", other);
  };
  DownloadRequest request = Request();
  request.sha256 = testing::Sha256Of(other);
  ASSERT_EQ(ErrorOf(request), "");
  EXPECT_TRUE(ReadFile(path_) == other);
  EXPECT_THAT(lines_, Contains(HasSubstr("changed on the hub while it was read; once more")));
}

TEST_F(DownloadTest, TheTokenStaysWithItsHub) {
  hub_.faults().token = "hf_secret";
  hub_.faults().redirects = true;
  DownloadRequest request = Request();
  request.token = "hf_secret";
  ASSERT_EQ(ErrorOf(request), "");
  ExpectWhole();
  std::vector<std::string> at_hub;
  std::vector<std::string> elsewhere;
  for (const LocalHub::Seen& seen : hub_.seen()) {
    (seen.at_other_origin ? elsewhere : at_hub).push_back(seen.authorization);
  }
  EXPECT_THAT(at_hub, Each("Bearer hf_secret"));
  EXPECT_EQ(elsewhere.size(), 1 + kSize / kPiece);
  EXPECT_THAT(elsewhere, Each(""));
}

TEST_F(DownloadTest, RedirectsMayBeRelativeAndEndSomewhere) {
  hub_.faults().redirects = true;
  hub_.faults().location = "model.gguf";  // back to itself
  EXPECT_THAT(ErrorOf(Request()), HasSubstr("redirected more than 8 times"));
  EXPECT_EQ(hub_.n_file_requests(), 9);
  for (const char* location : {"file:///etc/passwd", "ftp://127.0.0.1/x", "http://"}) {
    hub_.faults().location = location;
    EXPECT_NE(ErrorOf(Request()), "") << location;
    EXPECT_FALSE(HasPartial()) << location;
  }
}

TEST_F(DownloadTest, RefusalsAreErrors) {
  hub_.faults().token = "hf_right";
  EXPECT_THAT(ErrorOf(Request()), HasSubstr("give a token with HF_TOKEN"));
  hub_.faults().refusal = 403;
  DownloadRequest request = Request();
  request.token = "hf_wrong";
  EXPECT_THAT(ErrorOf(request), HasSubstr("refuses access to the token's account (403)"));
  EXPECT_THAT(ErrorOf(request), Not(HasSubstr("hf_wrong")));
  EXPECT_EQ(hub_.n_file_requests(), 3);
}

/// A limit on the size of files that a process writes, which ends a write as a full disk does.
TEST_F(DownloadTest, AWriteThatFailsKeepsWhatIsThere) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = kSize / 2, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = ErrorOf(Request());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(error, HasSubstr("model.gguf.partial: cannot write: File too large; "));
  EXPECT_THAT(error, HasSubstr("of 1.00 MiB are kept for the next try"));
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
}

class SmallDisk {
 public:
  explicit SmallDisk(const std::string& folder) : folder_(folder) {
    is_mounted_ = mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=2m") == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) umount(folder_.c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool is_mounted() const { return is_mounted_; }

 private:
  std::string folder_;
  bool is_mounted_ = false;
};

TEST_F(DownloadTest, AFullDiskKeepsWhatIsThere) {
  const testing::TempDir mount_point;
  const SmallDisk disk(mount_point.path());
  if (!disk.is_mounted()) GTEST_SKIP() << "a file system may not be mounted here";
  path_ = mount_point.File("model.gguf");
  const std::string filler = mount_point.File("filler");
  testing::WriteFile(filler, std::string(kSize + kSize / 4, 'x'));
  const std::string error = ErrorOf(Request());
  EXPECT_THAT(error, HasSubstr("model.gguf.partial: cannot write: No space left on device; "));
  EXPECT_THAT(error, HasSubstr("are kept for the next try"));
  const uint64_t n_done = PartialFile::ExtentAt(path_).n_done;
  EXPECT_GT(n_done, kSize / 2);

  std::filesystem::remove(filler);
  const size_t n_sent = hub_.n_sent();
  ASSERT_EQ(ErrorOf(Request()), "");
  ExpectWhole();
  EXPECT_EQ(hub_.n_sent() - n_sent, kSize - n_done + 1);
}

}  // namespace
}  // namespace quern
