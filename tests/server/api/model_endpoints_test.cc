#include "server/api/model_endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

using ::testing::HasSubstr;

class ModelEndpointsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    model_ = Model::Load(*file).value();
  }
  static void TearDownTestSuite() { model_.reset(); }

  static std::shared_ptr<const Model> model_;
  const ModelInfo info_{.id = "demo", .path = "x.gguf", .created = 5, .n_ctx = 99, .n_slots = 3};
};
std::shared_ptr<const Model> ModelEndpointsTest::model_;

std::string ErrorOf(const Result<Json>& result) {
  return result ? "no error" : result.error().message;
}

TEST_F(ModelEndpointsTest, TokenizesAndBack) {
  const Json tokens =
      (*Tokenize(*model_, nlohmann::json::parse(R"({"content": "hé bread"})")))["tokens"];
  ASSERT_GT(tokens.size(), 1U);
  EXPECT_EQ((*Detokenize(*model_, Json{{"tokens", tokens}}))["content"], "hé bread");
  const Json special =
      *Tokenize(*model_, nlohmann::json::parse(R"({"content": "hé bread", "add_special": true})"));
  EXPECT_EQ(special["tokens"].size(), tokens.size() + 1);
  const Json pieces =
      *Tokenize(*model_, nlohmann::json::parse(R"({"content": "hé bread", "with_pieces": true})"));
  EXPECT_EQ(pieces["tokens"][0]["id"], tokens[0]);
  EXPECT_TRUE(pieces["tokens"][0]["piece"].is_string());

  EXPECT_EQ(ErrorOf(Tokenize(*model_, Json::object())), "'content' is null, expected a text");
  EXPECT_THAT(ErrorOf(Detokenize(*model_, nlohmann::json::parse(R"({"tokens": [99999999]})"))),
              HasSubstr("'tokens' is [99999999], expected a list of token ids from 0 to "));
}

TEST_F(ModelEndpointsTest, AppliesTheTemplate) {
  const Result<Json> prompt = ApplyTemplate(
      *model_, nlohmann::json::parse(R"({"messages": [{"role": "user", "content": "xyz"}]})"));
  ASSERT_TRUE(prompt);
  EXPECT_THAT((*prompt)["prompt"].get<std::string>(), HasSubstr("xyz"));
  EXPECT_THAT(ErrorOf(ApplyTemplate(*model_, Json::object())), HasSubstr("'messages' is null"));
}

TEST_F(ModelEndpointsTest, TellsOfTheModel) {
  const std::vector<ModelStatus> status = {{.info = info_, .aliases = {"other"}}};
  const std::vector<Router> routers = {
      {.name = "auto", .rules = {}, .default_model = "demo", .fallback = {"big", "demo"}}};
  const Json models = ModelsJson(status, routers)["data"];
  EXPECT_EQ(models[0]["id"], "demo");
  EXPECT_EQ(models[0]["meta"]["n_ctx"], 99);
  EXPECT_EQ(models[0]["aliases"].dump(), R"(["other"])");
  EXPECT_EQ(models[0]["status"]["value"], "unloaded");
  EXPECT_EQ(models[1]["id"], "auto");
  EXPECT_EQ(models[1]["routes_to"].dump(), R"(["demo","big"])");
  SamplingParams sampling;
  sampling.top_k = 17;
  const Json props = PropsJson(*model_, info_, sampling, "1.2.3");
  EXPECT_EQ(props["default_generation_settings"]["params"]["top_k"], 17);
  EXPECT_EQ(props["default_generation_settings"]["n_ctx"], 99);
  EXPECT_EQ(props["total_slots"], 3);
  EXPECT_THAT(props["chat_template"].get<std::string>(), HasSubstr("messages"));
  EXPECT_NE(props["eos_token"], "");
}

TEST_F(ModelEndpointsTest, ShowsSlots) {
  EngineStatus status;
  status.requests = {{.id = 7,
                      .phase = RequestPhase::kDecode,
                      .prompt_tokens = 10,
                      .cached_tokens = 4,
                      .processed_tokens = 12,
                      .generated_tokens = 3},
                     {.id = 8, .phase = RequestPhase::kWaiting, .prompt_tokens = 5}};
  const Json slots = SlotsJson(status, info_);
  ASSERT_EQ(slots.size(), 3U);
  EXPECT_EQ(slots[0]["id_task"], 7);
  EXPECT_EQ(slots[0]["is_processing"], true);
  EXPECT_EQ(slots[0]["n_prompt_tokens_processed"], 10);
  EXPECT_EQ(slots[0]["n_decoded"], 3);
  EXPECT_EQ(slots[1]["state"], "waiting");
  EXPECT_EQ(slots[2].dump(), R"({"id":2,"n_ctx":99,"is_processing":false})");
}

TEST_F(ModelEndpointsTest, EncodesMixedPrompts) {
  const Tokenizer& tokenizer = model_->tokenizer();
  EXPECT_EQ(*Encode(*model_, MixedPrompt{"a b"}), model_->EncodePrompt("a b"));
  std::vector<Token> expected = {5};
  for (const Token token : tokenizer.Encode(" b", {.add_special = false}))
    expected.push_back(token);
  EXPECT_EQ(*Encode(*model_, MixedPrompt{std::vector<Token>{5}, " b"}), expected);
}

TEST_F(ModelEndpointsTest, Embeddings) {
  const Result<EmbeddingRequest> request = ParseEmbeddingRequest(
      nlohmann::json::parse(R"({"input": ["a", "b"], "encoding_format": "base64"})"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->inputs.size(), 2U);
  std::vector<Answer> answers(2);
  answers[0].embedding = {1.0F};
  answers[0].stats.prompt_tokens = 3;
  answers[1].embedding = {-2.0F};
  const Json json = EmbeddingsJson(info_, *request, answers);
  EXPECT_EQ(json["data"][0]["embedding"], "AACAPw==");
  EXPECT_EQ(json["data"][1]["embedding"], "AAAAwA==");
  EXPECT_EQ(json["usage"]["total_tokens"], 3);
  EXPECT_EQ(EmbeddingsJson(info_, {}, answers)["data"][1]["embedding"].dump(), "[-2.0]");

  const auto error = [](const char* body) {
    const Result<EmbeddingRequest> parsed = ParseEmbeddingRequest(nlohmann::json::parse(body));
    return parsed ? "no error" : parsed.error().message;
  };
  EXPECT_EQ(error("{}"), "'input' is null, expected a text or a list of token ids");
  EXPECT_EQ(error(R"({"input": ""})"), R"('input' is "", expected a text that is not empty)");
  EXPECT_EQ(error(R"({"input": "a", "dimensions": 3})"), "'dimensions' is not supported");
  EXPECT_EQ(error(R"({"input": "a", "encoding_format": "hex"})"),
            R"('encoding_format' is "hex", expected "float" or "base64")");
}

}  // namespace
}  // namespace quern
