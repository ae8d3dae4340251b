#include "tools/serve/served_model_options.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

constexpr uint64_t kMemory = uint64_t{1} << 33U;

ModelRecipe RecipeOf(const ServedModelOptions& options) {
  const Result<PlannedModel> planned = PlanModel(options, kMemory, {});
  EXPECT_TRUE(planned) << planned.error().message;
  return planned ? planned->served.recipe : ModelRecipe();
}

/// The recipe with these options beside those that all of these tests have.
ModelRecipe With(const std::vector<std::string>& arguments) {
  CLI::App app;
  ServedModelOptions options;
  options.n_ctx = 64;
  options.AddTo(&app);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  app.parse(reversed);
  return RecipeOf(options);
}

// Else a reload would keep a model that the new file has otherwise.
TEST(ServedModelOptions, WhatChangesTheLoadedModelChangesItsRecipe) {
  const ModelRecipe plain = With({});
  EXPECT_EQ(With({}), plain);
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--ctx-size", "128"},
                                             {"--parallel", "3"},
                                             {"--kv-tokens", "4096"},
                                             {"--cache-type-k", "q8_0"},
                                             {"--cache-type-v", "q8_0"},
                                             {"--load", "mmap"},
                                             {"--threads", "3"},
                                             {"--batch-size", "100"},
                                             {"--chat-template", "{{ messages[0].content }}"},
                                             {"--max-queue", "3"}}) {
    EXPECT_NE(With(arguments), plain) << arguments.front();
  }
  ServedModelOptions options;
  options.n_ctx = 64;
  options.engine.max_stretch = 3;
  EXPECT_NE(RecipeOf(options), plain);
}

TEST(ServedModelOptions, WhatOnlyRequestsFeelLeavesTheRecipe) {
  const ModelRecipe plain = With({});
  EXPECT_EQ(With({"--temp", "0.3", "--n-predict", "7"}), plain);
  ServedModelOptions options;
  options.n_ctx = 64;
  options.aliases = {"other"};
  options.preload = false;
  EXPECT_EQ(RecipeOf(options), plain);
}

TEST(ServedModelOptions, AFileWrittenAnewIsAnotherModel) {
  const testing::TempDir folder;
  const std::string path = folder.File("m.gguf");
  const auto bytes = DemoModelBytes();
  testing::WriteFile(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  ServedModelOptions options;
  options.n_ctx = 64;
  options.model.set_path(path);
  const ModelRecipe before = RecipeOf(options);
  EXPECT_EQ(RecipeOf(options), before);
  std::filesystem::last_write_time(path, *before.modified + std::chrono::seconds(1));
  EXPECT_NE(RecipeOf(options), before);
}

}  // namespace
}  // namespace quern
