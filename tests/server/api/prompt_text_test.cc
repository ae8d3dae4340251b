#include "server/api/prompt_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

std::string TextOf(ApiKind kind, const char* body) {
  return PromptText(ParseApiRequest(kind, nlohmann::json::parse(body)).value().prompts);
}

TEST(PromptText, OneTextIsItself) {
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": "a \"b\"\n"})"), "a \"b\"\n");
  EXPECT_EQ(TextOf(ApiKind::kNative, R"({"prompt": ""})"), "");
}

TEST(PromptText, AllElseIsJson) {
  EXPECT_EQ(TextOf(ApiKind::kChat, R"({"messages": [{"role": "user", "content": "hi"}]})"),
            R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": ["a", "b"]})"), R"(["a","b"])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": [5, 6]})"), "[5,6]");
  EXPECT_EQ(TextOf(ApiKind::kNative, R"({"prompt": ["a", 5, 6]})"), R"(["a",[5,6]])");
  EXPECT_EQ(TextOf(ApiKind::kCompletion, R"({"prompt": [[5], [6, 7]]})"), "[[5],[6,7]]");
}

}  // namespace
}  // namespace quern
