#include "tools/quality/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <iterator>
#include <vector>

#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::HasSubstr;

class NpyTest : public ::testing::Test {
 protected:
  void WriteRaw(std::string_view header, size_t data_bytes) {
    std::ofstream file(path_, std::ios::binary);
    file << std::string_view("\x93NUMPY\x01\x00", 8) << static_cast<char>(header.size()) << '\0'
         << header << std::string(data_bytes, '\0');
  }
  std::string OpenError() const {
    auto reader = NpyReader::Open(path_);
    return reader ? "" : reader.error().message;
  }

  const testing::TempDir folder_;
  const std::string path_ = folder_.File("file");
};

TEST_F(NpyTest, WritesAndReadsRows) {
  auto writer = NpyWriter::Create(path_, 3, 2);
  ASSERT_TRUE(writer) << writer.error().message;
  const std::vector<float> values = {1, -2, 3.5F, 4, 5, 6e30F};
  ASSERT_TRUE(writer->Write(std::span(values).first(2)));
  ASSERT_TRUE(writer->Write(std::span(values).subspan(2)));
  ASSERT_TRUE(writer->Finish());

  auto reader = NpyReader::Open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->rows(), 3U);
  EXPECT_EQ(reader->cols(), 2U);
  std::vector<float> read(6);
  ASSERT_TRUE(reader->Read(read));
  EXPECT_EQ(read, values);
  EXPECT_FALSE(reader->Read(read));
}

TEST_F(NpyTest, AlignsTheDataAsNumpyDoes) {
  auto writer = NpyWriter::Create(path_, 1, 1);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Write(std::array<float, 1>{7}));
  ASSERT_TRUE(writer->Finish());
  EXPECT_EQ(std::filesystem::file_size(path_) % 64, sizeof(float));
}

TEST_F(NpyTest, RefusesTooFewAndTooManyRows) {
  auto writer = NpyWriter::Create(path_, 1, 2);
  ASSERT_TRUE(writer);
  EXPECT_FALSE(writer->Write(std::vector<float>(3)));
  EXPECT_FALSE(writer->Finish());
}

TEST_F(NpyTest, SaysWhatIsWrongWithAHeader) {
  WriteRaw("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n", 16);
  EXPECT_THAT(OpenError(), HasSubstr("dtype '<f8', expected '<f4'"));
  WriteRaw("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }\n", 8);
  EXPECT_THAT(OpenError(), HasSubstr("Fortran order"));
  WriteRaw("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 8);
  EXPECT_THAT(OpenError(), HasSubstr("1 dimensions, expected 2"));
  WriteRaw("{'descr': '<f4', 'fortran_order': False, 'shape': (2, x), }\n", 8);
  EXPECT_THAT(OpenError(), HasSubstr("not a tuple of sizes"));
  WriteRaw("{'fortran_order': False, 'shape': (1, 2), }\n", 8);
  EXPECT_THAT(OpenError(), HasSubstr("lacks 'descr'"));
  WriteRaw("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n", 8);
  EXPECT_THAT(OpenError(), HasSubstr("8 bytes of data, expected"));
  std::ofstream(path_, std::ios::trunc) << "something else";
  EXPECT_THAT(OpenError(), HasSubstr("not a .npy file"));
}

TEST_F(NpyTest, RefusesEveryTruncation) {
  {
    auto writer = NpyWriter::Create(path_, 2, 3);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->Write(std::vector<float>(6, 1)));
    ASSERT_TRUE(writer->Finish());
  }
  for (size_t size = std::filesystem::file_size(path_); size-- > 0;) {
    std::filesystem::resize_file(path_, size);
    EXPECT_FALSE(NpyReader::Open(path_)) << size << " bytes";
  }
}

TEST_F(NpyTest, NamesAMissingFile) { EXPECT_THAT(OpenError(), HasSubstr(path_)); }

}  // namespace
}  // namespace quern
