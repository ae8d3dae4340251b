// `quern synth` and `quern quantize` from their command lines to their files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "gguf/gguf_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::RunCommand;

class Quantize : public ::testing::Test {
 protected:
  const testing::TempDir folder_;
  const std::string source_ = folder_.File("source.gguf");
  const std::string result_ = folder_.File("result.gguf");
};

TEST_F(Quantize, WritesTheTypeOfItsArgument) {
  const Outcome synth = RunCommand({"synth", source_, "--type", "f16", "--n-layer", "1", "--json"});
  ASSERT_EQ(synth.exit_code, 0) << synth.err;
  EXPECT_EQ(nlohmann::json::parse(synth.out)["bytes"], std::filesystem::file_size(source_));

  const Outcome quantize = RunCommand({"quantize", source_, result_, "q8_0", "--json"});
  ASSERT_EQ(quantize.exit_code, 0) << quantize.err;
  const auto json = nlohmann::json::parse(quantize.out);
  EXPECT_LT(json["result_bytes"], json["source_bytes"]);
  EXPECT_EQ(json["requantized_tensors"], 0);
  const auto file = GgufFile::Open(result_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight")->type, GgmlType::kQ8_0);

  const Outcome again = RunCommand({"quantize", result_, source_, "Q4_K"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("bits/weight) -> "));
  EXPECT_THAT(again.out, HasSubstr("were quantized already"));
}

TEST_F(Quantize, SynthSaysWhatItWrote) {
  const Outcome synth = RunCommand({"synth", source_, "--n-layer", "1"});
  EXPECT_EQ(synth.exit_code, 0) << synth.err;
  EXPECT_THAT(synth.out, HasSubstr(source_ + ": synthetic, "));
  EXPECT_EQ(RunCommand({"run", source_, "-p", "a", "-n", "2"}).exit_code, 0);
}

TEST_F(Quantize, BadArgumentsLeaveNoFile) {
  ASSERT_EQ(RunCommand({"synth", source_, "--n-layer", "1"}).exit_code, 0);
  EXPECT_THAT(RunCommand({"quantize", source_, result_, "Q9"}).err,
              HasSubstr("error: no type 'Q9'; there are "));
  for (const char* threads : {"0", "-3", "100000"}) {
    EXPECT_EQ(RunCommand({"quantize", source_, result_, "Q8_0", "-t", threads}).exit_code, 1);
    EXPECT_EQ(RunCommand({"synth", result_, "-t", threads}).exit_code, 1);
  }
  EXPECT_THAT(RunCommand({"synth", result_, "--preset", "gpt-9"}).err, HasSubstr("llama-3.1-8b"));
  EXPECT_THAT(RunCommand({"synth", result_, "--type", "Q9"}).err, HasSubstr("type 'Q9'"));
  EXPECT_EQ(RunCommand({"quantize", "none.gguf", result_, "Q8_0"}).exit_code, 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1)
      << "the source alone";
}

}  // namespace
}  // namespace quern
