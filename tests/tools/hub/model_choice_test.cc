#include "tools/hub/model_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<HubFile> Listing(const std::vector<std::string>& paths) {
  std::vector<HubFile> files;
  for (const std::string& path : paths) files.push_back({.path = path, .size = 1});
  return files;
}

std::vector<std::string> Choice(const std::vector<std::string>& paths, std::string_view quant,
                                std::string_view file = "") {
  const auto chosen = ChooseModel(Listing(paths), quant, file);
  if (!chosen) return {"error: " + chosen.error().message};
  std::vector<std::string> names;
  for (const HubFile& chosen_file : *chosen) names.push_back(chosen_file.path);
  return names;
}

TEST(ModelChoice, QuantizationsOfNames) {
  for (const auto& [path, quant] : std::vector<std::pair<std::string, std::string>>{
           {"Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"},
           {"model.i1-IQ2_XXS.gguf", "IQ2_XXS"},
           {"llama-3-8b.q8_0.gguf", "Q8_0"},
           {"X-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
           {"X-bf16-00001-of-00002.gguf", "BF16"},
           {"Q5_K_S/model-00002-of-00003.gguf", "Q5_K_S"},
           {"gpt-oss-20b-MXFP4.gguf", "MXFP4"},
           {"Qwen2.5-7B.gguf", ""},
           {"model.gguf", ""}}) {
    EXPECT_EQ(QuantOf(path), quant) << path;
  }
}

TEST(ModelChoice, ByQuantizationWhateverItsCase) {
  const std::vector<std::string> paths = {"m-Q4_K_M.gguf",   "m-IQ4_XS.gguf", "m-Q4_K_S.gguf",
                                          "m-UD-Q8_0.gguf",  "m-Q8_0.gguf",   "README.md",
                                          "mmproj-F16.gguf", "m-imatrix.gguf"};
  EXPECT_THAT(Choice(paths, ""), ElementsAre("m-Q4_K_M.gguf"));
  EXPECT_THAT(Choice(paths, "q4_k_s"), ElementsAre("m-Q4_K_S.gguf"));
  EXPECT_THAT(Choice(paths, "Q8_0"), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(Choice(paths, "ud-q8_0"), ElementsAre("m-UD-Q8_0.gguf"));
  EXPECT_THAT(Choice(paths, "iq4_xs"), ElementsAre("m-IQ4_XS.gguf"));
  EXPECT_THAT(Choice(paths, "Q4_K").front(), HasSubstr("no file of Q4_K; there are: "));
  // A projector is not the model.
  EXPECT_THAT(Choice(paths, "F16").front(), HasSubstr("no file of F16"));
  EXPECT_THAT(Choice(paths, "", "mmproj-F16.gguf"), ElementsAre("mmproj-F16.gguf"));
}

TEST(ModelChoice, WithoutTheDefaultTheOnlyOne) {
  EXPECT_THAT(Choice({"m-Q8_0.gguf", "mmproj-m-F16.gguf", "x.txt"}, ""),
              ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(Choice({"m-Q8_0.gguf", "m-F16.gguf"}, "").front(),
              HasSubstr("no file of Q4_K_M and no other that is the only one; there are: "
                        "m-F16.gguf, m-Q8_0.gguf"));
  EXPECT_THAT(Choice({"config.json"}, "").front(), HasSubstr("no GGUF file"));
  EXPECT_THAT(Choice({}, "").front(), HasSubstr("no GGUF file"));
}

TEST(ModelChoice, SeveralThatFitAreAnError) {
  EXPECT_THAT(Choice({"a-Q4_K_M.gguf", "b-Q4_K_M.gguf"}, "").front(),
              HasSubstr("several models of Q4_K_M, choose by --hf-file: a-Q4_K_M.gguf, b-Q4"));
  EXPECT_THAT(Choice({"a-Q4_K_M.gguf", "b-Q4_K_M.gguf"}, "", "b-Q4_K_M.gguf"),
              ElementsAre("b-Q4_K_M.gguf"));
  EXPECT_THAT(Choice({"a.gguf"}, "", "c.gguf").front(), HasSubstr("no file 'c.gguf'"));
}

TEST(ModelChoice, SplitSetsAreTakenWhole) {
  const std::vector<std::string> paths = {"Q8_0/m-00002-of-00002.gguf", "m-Q4_K_M.gguf",
                                          "Q8_0/m-00001-of-00002.gguf"};
  EXPECT_THAT(Choice(paths, "q8_0"),
              ElementsAre("Q8_0/m-00001-of-00002.gguf", "Q8_0/m-00002-of-00002.gguf"));
  EXPECT_THAT(Choice(paths, "", "Q8_0/m-00002-of-00002.gguf"),
              ElementsAre("Q8_0/m-00001-of-00002.gguf", "Q8_0/m-00002-of-00002.gguf"));
  EXPECT_THAT(Choice({"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}, "").front(),
              HasSubstr("file 2 of 3 of the split set is missing: m-00002-of-00003.gguf"));
}

TEST(ModelChoice, HostileNamesAreRefused) {
  EXPECT_THAT(Choice({"../../m-Q4_K_M.gguf"}, "").front(), HasSubstr("begins with a dot"));
  EXPECT_THAT(Choice({"/m-Q4_K_M.gguf"}, "").front(), HasSubstr("has an empty part"));
  EXPECT_THAT(Choice({"a\nb.gguf", "c.gguf"}, "q8_0").front(), HasSubstr("a\\nb.gguf, c.gguf"));
}

}  // namespace
}  // namespace quern
