// The built-in model, on its own kind of text, against llama.cpp and the float64 reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"
#include "runtime/forward/logits_runner.h"
#include "tests/peer/peer.h"
#include "tests/testing/reference_forward.h"
#include "tests/testing/temp_dir.h"
#include "tools/demo_model/demo_model.h"
#include "tools/quality/divergence.h"

namespace quern {
namespace {

constexpr const char* kWords[] = {
    "bread", "water",  "house",  "time",   "music",  "river",  "king",   "light", "book", "tree",
    "war",   "doctor", "money",  "school", "winter", "garden", "window", "ship",  "gold", "paper",
    "green", "small",  "old",    "happy",  "run",    "speak",  "write",  "think", "give", "open",
    "road",  "city",   "child",  "friend", "letter", "moon",   "stone",  "fire",  "law",  "idea",
    "heart", "sleep",  "market", "animal", "bird",   "fish",   "color",  "number"};

class DemoAgreement : public ::testing::Test {
 protected:
  void SetUp() override {
    QUERN_SKIP_WITHOUT_PEER();
    const std::span<const std::byte> bytes = DemoModelBytes();
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file_ = std::make_unique<GgufFile>(std::move(*GgufFile::FromMemory(bytes, "demo")));
    model_ = *Model::Load(*file_);
  }

  std::vector<Token> ChatPrompt(const std::string& question) const {
    const std::vector<ChatMessage> messages = {{"user", question}};
    const std::string text = *model_->chat_template()->Render(messages, true);
    return model_->tokenizer().Encode(text, {.add_special = false, .parse_special = true});
  }
  std::vector<std::vector<Token>> WordPrompts(size_t n) const {
    std::vector<std::vector<Token>> prompts;
    for (const char* word : kWords) {
      if (prompts.size() == n) break;
      prompts.push_back(ChatPrompt(std::string("What does ") + word + " mean?"));
    }
    return prompts;
  }

  const testing::TempDir folder_;
  const std::string path_ = folder_.File("demo.gguf");
  std::unique_ptr<GgufFile> file_;
  std::shared_ptr<const Model> model_;
};

TEST_F(DemoAgreement, GivesTheGreedyTextOfLlamaCpp) {
  constexpr size_t kMaxTokens = 60;
  std::vector<std::vector<Token>> prompts = WordPrompts(std::size(kWords));
  for (int a = 1; a <= 13; ++a) {
    for (const int b : {2, 5, 7, 11}) {
      prompts.push_back(model_->tokenizer().Encode(fmt::format("What is {}+{}? Answer:", a, b)));
    }
  }
  ASSERT_EQ(prompts.size(), 100U);
  const auto theirs = peer::Generate(path_, prompts, kMaxTokens);
  ASSERT_TRUE(theirs) << theirs.error().message;

  auto engine = Engine::Create(model_, {});
  ASSERT_TRUE(engine) << engine.error().message;
  for (size_t i = 0; i < prompts.size(); ++i) {
    GenerateRequest request;
    request.prompt = prompts[i];
    request.max_tokens = kMaxTokens;
    request.sampling.temperature = 0;
    std::vector<Token> ours;
    const auto text = (*engine)->Generate(
        request, [&](const GenerateEvent& event) { ours.push_back(event.token->token); });
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(ours, theirs->at(i)) << *text;
  }
}

TEST_F(DemoAgreement, IsAsCloseToFloat64AsLlamaCpp) {
  const testing::ReferenceModel reference(*file_);
  const size_t n_vocab = reference.n_vocab();
  const std::vector<std::vector<Token>> prompts = WordPrompts(10);
  const auto answers = peer::Generate(path_, prompts, 60);
  ASSERT_TRUE(answers) << answers.error().message;
  auto runner = LogitsRunner::Create(model_, {});
  ASSERT_TRUE(runner) << runner.error().message;

  Divergence ours;
  Divergence theirs;
  std::vector<double> log_probs(n_vocab);
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<Token> tokens = prompts[i];
    tokens.insert(tokens.end(), answers->at(i).begin(), answers->at(i).end());
    const std::vector<double> expected = reference.Logits(tokens);
    const auto their_logits = peer::Logits(path_, tokens);
    ASSERT_TRUE(their_logits) << their_logits.error().message;
    const Status done =
        (*runner)->Run(tokens, 0, [&](size_t position, std::span<const float> logits) -> Status {
          LogSoftmax(std::span(expected).subspan(position * n_vocab, n_vocab), log_probs);
          if (Status added = ours.Add(log_probs, logits, std::nullopt); !added) return added;
          return theirs.Add(log_probs,
                            std::span(*their_logits).subspan(position * n_vocab, n_vocab),
                            std::nullopt);
        });
    ASSERT_TRUE(done) << done.error().message;
  }
  RecordProperty("our_mean_kl", fmt::format("{:.3e}", ours.Summarize().kl.mean));
  RecordProperty("their_mean_kl", fmt::format("{:.3e}", theirs.Summarize().kl.mean));
  EXPECT_GT(ours.Summarize().n_positions, 200U);
  EXPECT_LE(ours.Summarize().kl.mean, theirs.Summarize().kl.mean);
}

}  // namespace
}  // namespace quern
