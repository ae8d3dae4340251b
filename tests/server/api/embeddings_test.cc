#include "server/api/embeddings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

TEST(Embeddings, RequestsAndResponses) {
  const Result<EmbeddingRequest> request = ParseEmbeddingRequest(
      nlohmann::json::parse(R"({"input": ["a", "b"], "encoding_format": "base64"})"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->prompts.size(), 2U);
  const ModelInfo info{.id = "demo"};
  std::vector<Embedding> embeddings(2);
  embeddings[0].values = {1.0F};
  embeddings[0].stats.prompt_tokens = 3;
  embeddings[1].values = {-2.0F};
  const Json json = EmbeddingsJson(info, *request, embeddings);
  EXPECT_EQ(json["data"][0]["embedding"], "AACAPw==");
  EXPECT_EQ(json["data"][1]["embedding"], "AAAAwA==");
  EXPECT_EQ(json["usage"]["total_tokens"], 3);
  EXPECT_EQ(EmbeddingsJson(info, {}, embeddings)["data"][1]["embedding"].dump(), "[-2.0]");

  const auto error = [](const char* body) -> std::string {
    const Result<EmbeddingRequest> parsed = ParseEmbeddingRequest(nlohmann::json::parse(body));
    if (!parsed) return parsed.error().message;
    return parsed->unsupported ? parsed->unsupported->message : "no error";
  };
  EXPECT_EQ(error("{}"), "'input' is null, expected a text or a list of token ids");
  EXPECT_EQ(error(R"({"input": ""})"), R"('input' is "", expected a text that is not empty)");
  EXPECT_EQ(error(R"({"input": "a", "dimensions": 3})"), "'dimensions' is not supported");
  EXPECT_EQ(error(R"({"input": "a", "encoding_format": "hex"})"),
            R"('encoding_format' is "hex", expected "float" or "base64")");
}

}  // namespace
}  // namespace quern
