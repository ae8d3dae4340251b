#include "tools/hub/hub_path.h"

#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

TEST(HubPath, NamesHaveTwoPartsAndMaybeAQuantization) {
  const Result<HubName> name = ParseHubName("bartowski/Llama-3.2-1B_x-GGUF:q4_k_m");
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(name->repository(), "bartowski/Llama-3.2-1B_x-GGUF");
  EXPECT_EQ(name->quant, "q4_k_m");
  EXPECT_EQ(ParseHubName("a/b")->quant, "");
}

TEST(HubPath, OtherNamesAreErrors) {
  for (const char* text : {"", "a", "a/", "/b", "a/b/c", "a/b:", "a:q/b", "../b", "a/..", ".a/b",
                           "a/-b", "a/b c", "a/b:../x", "a/b\n", "a\\b/c", "a/b:c:d", "a/%2e"}) {
    const Result<HubName> name = ParseHubName(text);
    ASSERT_FALSE(name) << text;
    EXPECT_NE(name.error().message.find("expected ORG/REPO[:QUANT]"), std::string::npos);
    EXPECT_EQ(name.error().message.find('\n'), std::string::npos);
  }
}

TEST(HubPath, FilesStayInTheirFolder) {
  for (const char* path :
       {"model.gguf", "Q4_K_M/model-00001-of-00002.gguf", "a b.gguf", "ä.gguf"}) {
    EXPECT_TRUE(CheckHubPath(path)) << path;
  }
  const std::string long_part(300, 'a');
  std::string long_path = "a";
  for (int i = 0; i < 600; ++i) long_path += "/a";
  for (const std::string& path :
       {std::string(), std::string("/etc/passwd"), std::string("../x.gguf"),
        std::string("a/../x.gguf"), std::string("a//b"), std::string("a/"), std::string("./a"),
        std::string(".."), std::string(".hidden"), std::string("a\\b"), std::string("a\nb"),
        std::string("a\0b", 3), std::string("a\x1b[2J"), std::string("a\xff"),
        std::string("a\u202eb"), long_part, long_path}) {
    const Status status = CheckHubPath(path);
    ASSERT_FALSE(status) << path;
    EXPECT_NE(status.error().message.find("the hub's file name '"), std::string::npos);
  }
}

TEST(HubPath, RevisionsBecomeOneFolder) {
  EXPECT_EQ(RevisionFolder("main").value(), "main");
  EXPECT_EQ(RevisionFolder("refs/pr/1").value(), "refs+pr+1");
  for (const char* revision : {"", "..", "a/../b", "/a", "a+b", "a b"}) {
    EXPECT_FALSE(RevisionFolder(revision)) << revision;
  }
}

}  // namespace
}  // namespace quern
