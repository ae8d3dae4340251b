#include "tools/measure/model_section.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::HasSubstr;

class ModelSection : public ::testing::Test {
 protected:
  /// The configuration after 4 threads and chunks of 64 were set for models/a.gguf, or the error.
  std::string Changed(const std::string& text, const std::string& section = "",
                      const std::string& hub = "") {
    const auto change =
        SetModelNumbers(text, config_, {folder_.File("models/a.gguf"), hub, section}, 4, 64);
    return change ? change->text : change.error().message;
  }

  testing::TempDir folder_;
  std::string config_ = folder_.File("quern.toml");
};

TEST_F(ModelSection, IsFoundByPath) {
  testing::WriteFile(folder_.File("models/a.gguf"), "");
  std::filesystem::create_symlink("models", folder_.File("link"));
  for (const std::string& path :
       {std::string("models/a.gguf"), std::string("./models/../models/a.gguf"),
        std::string("link/a.gguf"), folder_.File("models/a.gguf")}) {
    const std::string head = "[models.b]\npath = 'b.gguf'\n[models.one]\npath = '" + path + "'\n";
    EXPECT_EQ(Changed(head + "batch_size = 512 # much\n\n[log]\n"),
              head + "batch_size = 64 # much\nthreads = 4\n\n[log]\n");
  }
}

TEST_F(ModelSection, IsFoundByHub) {
  const std::string head = "[models.one]\nhub = 'org/a:Q4_K_M'\n";
  EXPECT_EQ(Changed(head, "", "org/a:Q4_K_M"), head + "threads = 4\nbatch_size = 64\n");
  EXPECT_EQ(Changed(head, "", "org/a"),
            head + "\n[models.a]\nhub = \"org/a\"\nthreads = 4\nbatch_size = 64\n");
}

TEST_F(ModelSection, IsFoundByName) {
  const std::string head = "[models.one]\npath = 'b.gguf'\n";
  EXPECT_EQ(Changed(head, "one"), head + "threads = 4\nbatch_size = 64\n");
}

TEST_F(ModelSection, IsAddedWhereThereIsNone) {
  const std::string lines = "threads = 4\nbatch_size = 64\n";
  EXPECT_EQ(Changed(""), "[models.a]\npath = \"models/a.gguf\"\n" + lines);
  EXPECT_EQ(Changed("port = 1\n", "x y"),
            "port = 1\n\n[models.\"x y\"]\npath = \"models/a.gguf\"\n" + lines);
  const auto elsewhere =
      SetModelNumbers("", config_, {"/no/such/m-8b.q4-00001-of-00002.gguf", "", ""}, 4, 64);
  ASSERT_TRUE(elsewhere) << elsewhere.error().message;
  EXPECT_EQ(elsewhere->text,
            "[models.\"m-8b.q4\"]\npath = \"/no/such/m-8b.q4-00001-of-00002.gguf\"\n" + lines);
  EXPECT_EQ(elsewhere->section, "m-8b.q4");
  EXPECT_TRUE(elsewhere->is_new);
}

TEST_F(ModelSection, OfAnotherModelIsNotTaken) {
  EXPECT_EQ(Changed("[models.a]\npath = 'other.gguf'\n"),
            config_ + ": line 1, column 1: 'a' is another model: --model-name says where to write");
}

TEST_F(ModelSection, MustBeTheOnlyOne) {
  EXPECT_EQ(Changed("[models.x]\npath = 'models/a.gguf'\n[models.y]\npath = 'models/a.gguf'\n"),
            config_ +
                ": line 3, column 1: 'y' has the model, as 'x' has: --model-name says which "
                "to write to");
}

TEST_F(ModelSection, WhatIsNoConfigurationIsAnErrorWithItsPlace) {
  EXPECT_EQ(Changed("models = 3\n"),
            config_ + ": line 1, column 10: 'models' is no table, expected sections [models.NAME]");
  EXPECT_EQ(Changed("[models.x]\npath = 3\n"),
            config_ + ": line 2, column 8: 'path' is no text in quotes");
  EXPECT_EQ(Changed("[models.x]\npath = 'models/a.gguf'\nthreads = 'all'\n"),
            config_ + ": line 3, column 11: 'threads' is of type string, expected a whole number");
  EXPECT_THAT(Changed("[models.x\n"), HasSubstr(config_ + ": line 1, column "));
}

}  // namespace
}  // namespace quern
