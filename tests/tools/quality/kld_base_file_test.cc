#include "tools/quality/kld_base_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "tests/testing/temp_dir.h"
#include "tools/quality/divergence.h"

namespace quern {
namespace {

using ::testing::HasSubstr;

class KldBaseFile : public ::testing::Test {
 protected:
  // A file of `shape_` with random-looking logits, which go to `logits_`.
  void WriteFile() {
    tokens_.clear();
    for (size_t i = 0; i < shape_.n_chunks * shape_.n_ctx; ++i) {
      tokens_.push_back(static_cast<Token>(i % shape_.n_vocab));
    }
    auto writer = KldBaseWriter::Create(path_, shape_, tokens_);
    ASSERT_TRUE(writer) << writer.error().message;
    for (size_t row = 0; row < shape_.n_chunks * shape_.scored_per_chunk(); ++row) {
      std::vector<float>& logits = logits_.emplace_back();
      for (size_t i = 0; i < shape_.n_vocab; ++i) {
        logits.push_back(static_cast<float>(std::sin(static_cast<double>(row * 31 + i * i)) * 9));
      }
      ASSERT_TRUE(writer->Write(logits));
    }
    ASSERT_TRUE(writer->Finish());
  }
  std::string OpenError() const {
    auto reader = KldBaseReader::Open(path_);
    return reader ? "" : reader.error().message;
  }
  void Overwrite(size_t offset, int32_t value) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  const KldBaseShape shape_{.n_ctx = 8, .n_vocab = 33, .n_chunks = 2};
  std::vector<Token> tokens_;
  std::vector<std::vector<float>> logits_;
  const testing::TempDir folder_;
  const std::string path_ = folder_.File("file");
};

TEST_F(KldBaseFile, KeepsLogProbabilitiesToHalfAStep) {
  WriteFile();
  EXPECT_TRUE(KldBaseReader::Matches(path_));
  auto reader = KldBaseReader::Open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->shape().n_ctx, 8U);
  EXPECT_EQ(reader->shape().scored_per_chunk(), 3U);
  EXPECT_EQ(std::vector<Token>(reader->tokens().begin(), reader->tokens().end()), tokens_);
  std::vector<double> read(shape_.n_vocab);
  std::vector<double> exact(shape_.n_vocab);
  for (const std::vector<float>& logits : logits_) {
    ASSERT_TRUE(reader->Read(read));
    LogSoftmax(logits, exact);
    const double largest = *std::max_element(exact.begin(), exact.end());
    for (size_t i = 0; i < exact.size(); ++i) {
      // Half of 16 / 65535, and float rounding of numbers below 32.
      EXPECT_NEAR(read[i], std::max(exact[i], largest - 16), 8.0 / 65535 + 4e-6);
    }
  }
  EXPECT_FALSE(reader->Read(read));
}

TEST_F(KldBaseFile, HasThePublishedLayout) {
  WriteFile();
  // Magic, three sizes, 16 tokens; six positions of 2 floats and 33 codes padded to 34.
  EXPECT_EQ(std::filesystem::file_size(path_), 8U + 12 + 16 * 4 + 6 * (8 + 34 * 2));
}

TEST_F(KldBaseFile, RefusesEveryTruncation) {
  WriteFile();
  for (size_t size = std::filesystem::file_size(path_); size-- > 0;) {
    std::filesystem::resize_file(path_, size);
    EXPECT_FALSE(KldBaseReader::Open(path_)) << size << " bytes";
  }
  EXPECT_FALSE(KldBaseReader::Matches(path_));
}

TEST_F(KldBaseFile, SaysWhatIsWrong) {
  EXPECT_THAT(OpenError(), HasSubstr("cannot open"));
  WriteFile();
  Overwrite(20, 33);
  EXPECT_THAT(OpenError(), HasSubstr("token 33 is outside the vocabulary of 33"));
  Overwrite(20, 0);
  Overwrite(16, 0x3FFFFF);
  EXPECT_THAT(OpenError(), HasSubstr("do not fit 4194303 chunks"));
  Overwrite(16, -1);
  EXPECT_THAT(OpenError(), HasSubstr("-1 chunks"));
  Overwrite(0, 0);
  EXPECT_THAT(OpenError(), HasSubstr("not a KL divergence base file"));
}

TEST_F(KldBaseFile, RefusesLogitsThatAreNoDistribution) {
  const std::vector<Token> tokens(16);
  auto writer = KldBaseWriter::Create(path_, shape_, tokens);
  ASSERT_TRUE(writer);
  std::vector<float> logits(shape_.n_vocab);
  logits[5] = NAN;
  EXPECT_FALSE(writer->Write(logits));
  logits[5] = INFINITY;
  EXPECT_FALSE(writer->Write(logits));
  EXPECT_FALSE(writer->Write(std::vector<float>(shape_.n_vocab, -INFINITY)));
  logits[5] = -INFINITY;
  EXPECT_TRUE(writer->Write(logits));
}

TEST_F(KldBaseFile, RefusesToFinishEarly) {
  const std::vector<Token> tokens(16);
  auto writer = KldBaseWriter::Create(path_, shape_, tokens);
  ASSERT_TRUE(writer);
  EXPECT_FALSE(writer->Finish());
}

}  // namespace
}  // namespace quern
