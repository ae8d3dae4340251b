#include "tools/hub/pull_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/local_hub.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"
#include "tools/hub/model_cache.h"

namespace quern {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::LocalHub;
using testing::PatternOf;
using testing::ReadFile;

class PullModelTest : public ::testing::Test {
 protected:
  PullRequest RequestFor(const std::string& name) const {
    PullRequest request;
    request.name = ParseHubName(name).value();
    request.server.endpoint = hub_.endpoint();
    request.cache_folder = cache_.path();
    request.download.piece_bytes = 64 << 10;
    request.download.retry = {.most_tries = 2, .first_wait = std::chrono::milliseconds(1)};
    return request;
  }
  PullReporter Reporter() {
    return {.say =
                [this](const std::string& line) {
                  const std::lock_guard lock(mutex_);
                  lines_.push_back(line);
                },
            .progress = {}};
  }
  std::string Pull(const std::string& name) {
    return Text(PullModel(RequestFor(name), Reporter()));
  }
  std::string Find(const std::string& name, bool offline = false) {
    PullRequest request = RequestFor(name);
    request.offline = offline;
    return Text(FindModel(request, Reporter()));
  }
  static std::string Text(const Result<std::string>& path) {
    return path ? *path : "error: " + path.error().message;
  }
  std::string PathOf(const std::string& file) const {
    return cache_.File("models/org/repo/main/" + file);
  }
  std::vector<CachedModel> Cached() const { return ModelCache(cache_.path()).List(); }

  testing::TempDir cache_;
  LocalHub hub_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST_F(PullModelTest, FindsWhatItPulledWithoutTheHub) {
  const std::string content = PatternOf(200'000);
  hub_.Add("m-Q4_K_M.gguf", content);
  hub_.Add("m-Q8_0.gguf", PatternOf(1000));
  ASSERT_EQ(Find("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_TRUE(ReadFile(PathOf("m-Q4_K_M.gguf")) == content);
  const size_t n_requests = hub_.seen().size();
  EXPECT_EQ(Find("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_EQ(Find("org/repo:q4_k_m", true), PathOf("m-Q4_K_M.gguf"));
  EXPECT_EQ(hub_.seen().size(), n_requests);
  // Files are asked for by the commit that the listing told.
  EXPECT_EQ(hub_.seen().back().path,
            std::string("/org/repo/resolve/") + LocalHub::kCommit + "/m-Q4_K_M.gguf");
  EXPECT_THAT(Find("org/repo:q8_0", true), HasSubstr("org/repo: not in the cache, and --offline"));
  EXPECT_EQ(hub_.seen().size(), n_requests);
  EXPECT_EQ(Find("org/repo:q8_0"), PathOf("m-Q8_0.gguf"));
}

TEST_F(PullModelTest, TheOnlyOneIsFoundAgainWithoutTheHub) {
  hub_.Add("m-Q8_0.gguf", PatternOf(1000));
  ASSERT_EQ(Find("org/repo"), PathOf("m-Q8_0.gguf"));
  const size_t n_requests = hub_.seen().size();
  EXPECT_EQ(Find("org/repo"), PathOf("m-Q8_0.gguf"));
  EXPECT_EQ(hub_.seen().size(), n_requests);
}

TEST_F(PullModelTest, OfflineTakesTheOnlyOneThatIsThere) {
  hub_.Add("m-Q4_K_M.gguf", PatternOf(1000));
  hub_.Add("m-Q8_0.gguf", PatternOf(1000));
  ASSERT_EQ(Pull("org/repo:q8_0"), PathOf("m-Q8_0.gguf"));
  EXPECT_EQ(Find("org/repo", true), PathOf("m-Q8_0.gguf"));
  PullRequest request = RequestFor("org/repo");
  request.offline = true;
  EXPECT_THAT(Text(PullModel(request, {})), HasSubstr("--offline forbids"));
}

TEST_F(PullModelTest, PullsAgainWhatChangedAlone) {
  hub_.Add("m-Q4_K_M.gguf", PatternOf(5000, 1));
  ASSERT_EQ(Pull("org/repo"), PathOf("m-Q4_K_M.gguf"));
  size_t n_requests = hub_.n_file_requests();
  EXPECT_EQ(Pull("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_EQ(hub_.n_file_requests(), n_requests);
  const std::string changed = PatternOf(5000, 2);
  hub_.Add("m-Q4_K_M.gguf", changed);
  EXPECT_EQ(Find("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_FALSE(ReadFile(PathOf("m-Q4_K_M.gguf")) == changed);
  EXPECT_EQ(Pull("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_TRUE(ReadFile(PathOf("m-Q4_K_M.gguf")) == changed);
  // What nothing is known of is hashed, not downloaded.
  fs::remove(PathOf("m-Q4_K_M.gguf.json"));
  n_requests = hub_.n_file_requests();
  EXPECT_EQ(Pull("org/repo"), PathOf("m-Q4_K_M.gguf"));
  EXPECT_EQ(hub_.n_file_requests(), n_requests);
  EXPECT_TRUE(fs::exists(PathOf("m-Q4_K_M.gguf.json")));
}

TEST_F(PullModelTest, SplitSetsComeWhole) {
  hub_.Add("Q4_K_M/m-00001-of-00002.gguf", PatternOf(3000, 1));
  hub_.Add("Q4_K_M/m-00002-of-00002.gguf", PatternOf(3000, 2));
  const std::string second = PathOf("Q4_K_M/m-00002-of-00002.gguf");
  ASSERT_EQ(Find("org/repo"), PathOf("Q4_K_M/m-00001-of-00002.gguf"));
  EXPECT_TRUE(ReadFile(second) == PatternOf(3000, 2));
  ASSERT_EQ(Cached().size(), 1);
  EXPECT_EQ(Cached()[0].size, 6000);
  EXPECT_TRUE(Cached()[0].is_whole);
  fs::remove(second);
  EXPECT_FALSE(Cached()[0].is_whole);
  EXPECT_THAT(Find("org/repo", true), HasSubstr("file 2 of 2 of the split set is missing"));
  EXPECT_EQ(Find("org/repo"), PathOf("Q4_K_M/m-00001-of-00002.gguf"));
  EXPECT_TRUE(fs::exists(second));
  // Files of two commits are no model.
  testing::WriteFile(second + ".json", R"({"size":3000,"sha256":"","commit":"other"})");
  EXPECT_THAT(Find("org/repo", true), HasSubstr("not all of "));
}

TEST_F(PullModelTest, NoNameLeavesTheCache) {
  for (const char* path : {"../../../../evil-Q4_K_M.gguf", "/tmp/evil-Q4_K_M.gguf",
                           "a/../../evil.gguf", "a\nb.gguf", ".evil.gguf"}) {
    LocalHub hub;
    hub.Add(path, PatternOf(100));
    PullRequest request = RequestFor("org/repo");
    request.server.endpoint = hub.endpoint();
    EXPECT_THAT(Text(PullModel(request, {})), HasSubstr("org/repo: the hub's file name '")) << path;
    EXPECT_EQ(hub.n_file_requests(), 0);
  }
  EXPECT_TRUE(fs::is_empty(cache_.path()));
}

TEST_F(PullModelTest, TheDiskMustHaveRoom) {
  hub_.faults().listing = R"({"siblings":[{"rfilename":"m.gguf","size":35184372088832}]})";
  EXPECT_THAT(Pull("org/repo"), HasSubstr("32.0 TiB are to come, but the disk has "));
  EXPECT_EQ(hub_.n_file_requests(), 0);
  EXPECT_FALSE(fs::exists(cache_.File("models/org/repo/main/listing.json")));
  for (const char* entry :
       {R"({"rfilename":"m.gguf"})", R"({"rfilename":"m.gguf","size":18446744073709551615})"}) {
    hub_.faults().listing = std::string(R"({"siblings":[)") + entry + "]}";
    EXPECT_THAT(Pull("org/repo"), HasSubstr("the hub tells no size of m.gguf that a file"));
  }
}

TEST_F(PullModelTest, TwoThatPullTheSameDownloadItOnce) {
  const std::string content = PatternOf(300'000);
  hub_.Add("m-Q4_K_M.gguf", content);
  // The first is held until the second says that it waits.
  hub_.faults().before_bytes = [this](size_t) {
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (!lines_.empty()) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::vector<std::future<std::string>> pulls;
  for (int i = 0; i < 2; ++i) {
    pulls.push_back(std::async(std::launch::async, [this] { return Pull("org/repo"); }));
  }
  for (auto& pull : pulls) EXPECT_EQ(pull.get(), PathOf("m-Q4_K_M.gguf"));
  EXPECT_TRUE(ReadFile(PathOf("m-Q4_K_M.gguf")) == content);
  EXPECT_EQ(hub_.n_sent(), content.size() + 1);
  EXPECT_THAT(lines_, Contains(HasSubstr("another process downloads it, waiting for its end")));
  EXPECT_FALSE(fs::exists(PathOf("m-Q4_K_M.gguf.lock")));
}

TEST_F(PullModelTest, TheCacheListsAndRemoves) {
  hub_.Add("m-Q4_K_M.gguf", PatternOf(1000));
  hub_.Add("m-Q8_0.gguf", PatternOf(2000));
  ASSERT_EQ(Pull("org/repo"), PathOf("m-Q4_K_M.gguf"));
  hub_.faults().n_cuts = 100;
  hub_.faults().cut_after = 500;
  hub_.faults().statuses = {};
  hub_.faults().ignores_ranges = true;
  EXPECT_THAT(Pull("org/repo:q8_0"), HasSubstr("the connection was cut"));
  const std::vector<CachedModel> models = Cached();
  ASSERT_EQ(models.size(), 2);
  EXPECT_EQ(models[0].repository, "org/repo");
  EXPECT_EQ(models[0].quant, "Q4_K_M");
  EXPECT_EQ(models[0].size, 1000);
  EXPECT_TRUE(models[0].is_whole);
  EXPECT_EQ(models[1].quant, "Q8_0");
  EXPECT_EQ(models[1].size, 500);
  EXPECT_FALSE(models[1].is_whole);
  const ModelCache cache(cache_.path());
  ASSERT_TRUE(cache.Remove(models[1]));
  EXPECT_EQ(Cached().size(), 1);
  ASSERT_TRUE(cache.Remove(models[0]));
  EXPECT_TRUE(fs::is_empty(cache_.File("models")));
  EXPECT_TRUE(Cached().empty());
}

TEST_F(PullModelTest, OtherRevisionsLieApart) {
  hub_.Add("m.gguf", PatternOf(1000));
  PullRequest request = RequestFor("org/repo");
  request.revision = "v2";
  EXPECT_THAT(Text(PullModel(request, {})), HasSubstr("org/repo: the hub has no such revision"));
  request.revision = "../x";
  EXPECT_THAT(Text(PullModel(request, {})), HasSubstr("'../x' is no revision"));
}

}  // namespace
}  // namespace quern
