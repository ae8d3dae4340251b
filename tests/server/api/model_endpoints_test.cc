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
  const auto tokenized = [](const char* body) {
    return ParseTokenizeRequest(nlohmann::json::parse(body))
        .and_then([](const TokenizeRequest& request) { return Tokenize(*model_, request); });
  };
  const auto detokenized = [](const nlohmann::json& body) {
    return ParseDetokenizeRequest(body).and_then(
        [](const ModelRequest& request) { return Detokenize(*model_, request); });
  };
  const Json tokens = (*tokenized(R"({"content": "hé bread"})"))["tokens"];
  ASSERT_GT(tokens.size(), 1U);
  EXPECT_EQ((*detokenized({{"tokens", tokens}}))["content"], "hé bread");
  EXPECT_EQ((*detokenized({{"tokens", nlohmann::json::array()}}))["content"], "");
  const Json special = *tokenized(R"({"content": "hé bread", "add_special": true})");
  EXPECT_EQ(special["tokens"].size(), tokens.size() + 1);
  const Json pieces = *tokenized(R"({"content": "hé bread", "with_pieces": true})");
  EXPECT_EQ(pieces["tokens"][0]["id"], tokens[0]);
  EXPECT_TRUE(pieces["tokens"][0]["piece"].is_string());

  EXPECT_EQ(ErrorOf(tokenized("{}")), "'content' is null, expected a text");
  EXPECT_EQ(ErrorOf(detokenized({{"tokens", "a"}})),
            "'tokens' is \"a\", expected a list of token ids");
  EXPECT_THAT(ErrorOf(detokenized({{"tokens", {99999999}}})),
              HasSubstr("'tokens' is [99999999], expected a list of token ids from 0 to "));
}

TEST_F(ModelEndpointsTest, AppliesTheTemplate) {
  const auto applied = [](const char* body) {
    return ParseTemplateRequest(nlohmann::json::parse(body))
        .and_then([](const ModelRequest& request) { return ApplyTemplate(*model_, request); });
  };
  const Result<Json> prompt = applied(R"({"messages": [{"role": "user", "content": "xyz"}]})");
  ASSERT_TRUE(prompt);
  EXPECT_THAT((*prompt)["prompt"].get<std::string>(), HasSubstr("xyz"));
  EXPECT_THAT(ErrorOf(applied("{}")), HasSubstr("'messages' is null"));
}

TEST_F(ModelEndpointsTest, RoutingReadsWhatTheyRead) {
  const TokenizeRequest request =
      ParseTokenizeRequest({{"model", "m"}, {"content", "a text"}}).value();
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(RouteQuestion::Of(request, "").text, "a text\n");
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

}  // namespace
}  // namespace quern
