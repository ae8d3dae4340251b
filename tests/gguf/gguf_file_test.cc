// Opening files of the disk: what is no regular file, split sets, and the pages of the mapping.
#include "gguf/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "gguf/gguf_writer.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class GgufFileTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_.File(name); }

  std::string ErrorOf(const std::string& name) const {
    const Result<GgufFile> file = GgufFile::Open(Path(name));
    return file ? "no error" : file.error().message;
  }

  /// One file of a split set with one tensor of three numbers; a key of value -1 is left out.
  struct Split {
    std::string tensor;
    int32_t number;
    int32_t count;
    int32_t n_tensors;
  };
  void WriteSplit(const std::string& name, const Split& split) const {
    GgufWriter writer;
    if (split.number == 0) writer.SetString("general.architecture", "llama");
    if (split.number >= 0) writer.SetInt32("split.no", split.number);
    if (split.count >= 0) writer.SetInt32("split.count", split.count);
    if (split.n_tensors >= 0) writer.SetInt32("split.tensors.count", split.n_tensors);
    const std::vector<uint64_t> shape = {3};
    writer.AddTensor(split.tensor, GgmlType::kF32, shape);
    const std::vector<float> data = {static_cast<float>(split.number), 1, 2};
    ASSERT_TRUE(writer.Open(Path(name)));
    ASSERT_TRUE(writer.Write(std::as_bytes(std::span(data))));
    ASSERT_TRUE(writer.Finish());
  }
  void WriteSet() const {
    WriteSplit("m-00001-of-00003.gguf", {"a", 0, 3, 3});
    WriteSplit("m-00002-of-00003.gguf", {"b", 1, 3, 3});
    WriteSplit("m-00003-of-00003.gguf", {"c", 2, 3, 3});
  }

  ::quern::testing::TempDir dir_;
};

TEST_F(GgufFileTest, OpensNothingButRegularFilesAndNeverWaits) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  std::ofstream(Path("empty")).flush();
  std::filesystem::create_directory(Path("directory"));
  EXPECT_THAT(ErrorOf("none"), EndsWith("/none: cannot open: No such file or directory"));
  EXPECT_THAT(ErrorOf("fifo"), EndsWith("/fifo: a FIFO, expected a regular file"));
  EXPECT_THAT(ErrorOf("empty"), EndsWith("/empty: the file is empty"));
  EXPECT_THAT(ErrorOf("directory"), EndsWith("/directory: a directory, expected a regular file"));
  EXPECT_EQ(GgufFile::Open("/dev/null").error().message,
            "/dev/null: a device, expected a regular file");
  EXPECT_EQ(GgufFile::Open(Path("none")).error().code, ErrorCode::kNotFound);
}

TEST_F(GgufFileTest, ASplitSetIsOneFile) {
  WriteSet();
  const Result<GgufFile> file = GgufFile::Open(Path("m-00001-of-00003.gguf"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->GetString("general.architecture").value(), "llama");
  ASSERT_EQ(file->tensors().size(), 3U);
  uint64_t file_bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    file_bytes += entry.file_size();
  }
  EXPECT_EQ(file->file_bytes(), file_bytes);
  for (const auto& [name, split] : {std::pair("a", 0U), {"b", 1U}, {"c", 2U}}) {
    const TensorInfo* tensor = file->FindTensor(name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->split, split);
    float first = -1;
    std::memcpy(&first, tensor->data.data(), sizeof(first));
    EXPECT_EQ(first, static_cast<float>(split));
  }
}

TEST_F(GgufFileTest, OtherFilesOfASplitSetNameTheFirst) {
  WriteSet();
  EXPECT_EQ(ErrorOf("m-00002-of-00003.gguf"),
            fmt::format("{}: file 2 of a split set of 3, open the first: {}",
                        Path("m-00002-of-00003.gguf"), Path("m-00001-of-00003.gguf")));
}

TEST_F(GgufFileTest, AMissingSplitIsNamed) {
  WriteSet();
  std::filesystem::remove(Path("m-00003-of-00003.gguf"));
  const Result<GgufFile> file = GgufFile::Open(Path("m-00001-of-00003.gguf"));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file.error().message,
            fmt::format("{}: file 3 of 3 of the split set is missing: {}",
                        Path("m-00001-of-00003.gguf"), Path("m-00003-of-00003.gguf")));
}

TEST_F(GgufFileTest, SplitsThatDoNotBelongTogetherAreErrors) {
  WriteSet();
  const std::string first = "m-00001-of-00003.gguf";
  WriteSplit("m-00002-of-00003.gguf", {"b", 2, 3, 3});
  EXPECT_THAT(ErrorOf(first),
              EndsWith("-00002-of-00003.gguf: key 'split.no': value 2, expected 1"));
  WriteSplit("m-00002-of-00003.gguf", {"b", 1, 4, 3});
  EXPECT_THAT(ErrorOf(first),
              EndsWith("-00002-of-00003.gguf: key 'split.count': value 4, expected 3"));
  WriteSplit("m-00002-of-00003.gguf", {"b", -1, 3, 3});
  EXPECT_THAT(ErrorOf(first), EndsWith("-00002-of-00003.gguf: key 'split.no': missing"));
  EXPECT_EQ(GgufFile::Open(Path(first)).error().code, ErrorCode::kCorruptFile);
  WriteSplit("m-00002-of-00003.gguf", {"b", 1, -1, 3});
  EXPECT_THAT(ErrorOf(first), EndsWith("-00002-of-00003.gguf: key 'split.count': missing"));
  EXPECT_EQ(GgufFile::Open(Path(first)).error().code, ErrorCode::kCorruptFile);
  WriteSplit("m-00002-of-00003.gguf", {"a", 1, 3, 3});
  EXPECT_THAT(ErrorOf(first), EndsWith("tensor 'a': occurs twice"));
  WriteSplit("m-00002-of-00003.gguf", {"b", 1, 3, 3});
  WriteSplit(first, {"a", 0, 3, 5});
  EXPECT_THAT(ErrorOf(first),
              EndsWith("key 'split.tensors.count': value 5, but the files hold 3 tensors"));
  std::ofstream(Path("m-00002-of-00003.gguf"), std::ios::trunc) << "no";
  EXPECT_THAT(ErrorOf(first), HasSubstr("m-00002-of-00003.gguf: the file ends at byte 2"));
}

TEST_F(GgufFileTest, ASplitSetNeedsItsNames) {
  WriteSplit("model.gguf", {"a", 0, 2, 2});
  EXPECT_THAT(
      ErrorOf("model.gguf"),
      EndsWith("belongs to a split set of 2, expected a name like MODEL-00001-of-00002.gguf"));
  WriteSplit("m-00002-of-00002.gguf", {"a", 0, 2, 2});
  EXPECT_THAT(ErrorOf("m-00002-of-00002.gguf"), HasSubstr("begins a split set, expected to be"));
}

TEST_F(GgufFileTest, ASetOfOneIsAnOrdinaryFile) {
  WriteSplit("model.gguf", {"a", 0, 1, 1});
  EXPECT_EQ(ErrorOf("model.gguf"), "no error");
}

TEST_F(GgufFileTest, DroppedPagesComeBackFromTheFile) {
  const std::vector<uint64_t> shape = {1 << 20};
  std::vector<std::byte> data(1 << 20);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i / 4096 + i);
  GgufWriter writer;
  writer.AddTensor("t", GgmlType::kI8, shape);
  ASSERT_TRUE(writer.Open(Path("model.gguf")));
  ASSERT_TRUE(writer.Write(data));
  ASSERT_TRUE(writer.Finish());
  const Result<GgufFile> file = GgufFile::Open(Path("model.gguf"));
  ASSERT_TRUE(file) << file.error().message;
  const std::span<const std::byte> bytes = file->FindTensor("t")->data;
  file->DropPages(bytes);
  EXPECT_TRUE(std::ranges::equal(bytes, data));
  file->DropPages(bytes.subspan(1, 10));
  file->DropPages({});
  EXPECT_TRUE(std::ranges::equal(bytes, data));
}

/// A file whose tensor 't' has 16 MB, opened, then cut to its first page.
class ShrunkFileTest : public GgufFileTest {
 protected:
  void SetUp() override {
    const std::vector<uint64_t> shape = {16 << 20};
    GgufWriter writer;
    writer.AddTensor("t", GgmlType::kI8, shape);
    ASSERT_TRUE(writer.Open(Path("model.gguf")));
    ASSERT_TRUE(writer.Write(std::vector<std::byte>(16 << 20)));
    ASSERT_TRUE(writer.Finish());
    file_.emplace(GgufFile::Open(Path("model.gguf")).value());
    std::filesystem::resize_file(Path("model.gguf"), 4096);
  }
  std::span<const std::byte> Data() const { return file_->FindTensor("t")->data; }

  std::optional<GgufFile> file_;
};

TEST_F(ShrunkFileTest, ReadingWhatIsGoneEndsWithAMessage) {
  const auto read = [&] {
    unsigned sum = 0;
    for (const std::byte byte : Data()) sum += static_cast<unsigned>(byte);
    std::printf("%u\n", sum);
  };
  EXPECT_EXIT(read(), ::testing::ExitedWithCode(1),
              "error: .*/model.gguf: became shorter while it was read");
}

TEST_F(ShrunkFileTest, CopyingWhatIsGoneBlamesTheSource) {
  const auto copy = [&] {
    GgufWriter writer;
    const std::vector<uint64_t> shape = {16 << 20};
    writer.AddTensor("t", GgmlType::kI8, shape);
    if (writer.Open(Path("copy.gguf")) && writer.Write(Data())) std::exit(0);
    std::exit(2);
  };
  EXPECT_EXIT(copy(), ::testing::ExitedWithCode(1),
              "error: .*/model.gguf: became shorter while it was read");
}

TEST_F(ShrunkFileTest, OtherBusErrorsGoWhereTheyWent) {
  EXPECT_DEATH(std::raise(SIGBUS), Not(HasSubstr("became shorter")));
}

TEST_F(GgufFileTest, MemoryIsNeverDropped) {
  GgufWriter writer;
  const std::vector<uint64_t> shape = {64 << 10};
  writer.AddTensor("t", GgmlType::kI8, shape);
  std::vector<std::byte> bytes = writer.Header();
  bytes.resize(bytes.size() + (64 << 10), std::byte{7});
  const Result<GgufFile> file = GgufFile::FromMemory(bytes, "memory");
  ASSERT_TRUE(file) << file.error().message;
  const std::span<const std::byte> data = file->FindTensor("t")->data;
  file->DropPages(data);
  EXPECT_EQ(data[32 << 10], std::byte{7}) << "dropping pages of no file would make them zero";
}

TEST_F(GgufFileTest, MovesKeepViews) {
  WriteSet();
  std::optional<GgufFile> file(GgufFile::Open(Path("m-00001-of-00003.gguf")).value());
  const std::string_view architecture = file->GetString("general.architecture").value();
  const GgufFile moved = std::move(*file);
  file.reset();
  EXPECT_EQ(architecture, "llama");
  EXPECT_EQ(moved.tensors().size(), 3U);
}

}  // namespace
}  // namespace quern
