// What the writer writes, the reader reads back: values, types, shapes and bytes.
#include "gguf/gguf_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::byte> Pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

class GgufWriterTest : public ::testing::Test {
 protected:
  ::quern::testing::TempDir dir_;
  std::string path_ = dir_.File("model.gguf");
};

TEST_F(GgufWriterTest, RoundTrip) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetUint32("u32", 0xfffffffe);
  writer.SetInt32("i32", -5);
  writer.SetUint64("u64", 1ULL << 63);
  writer.SetFloat32("f32", 0.1F);
  writer.SetBool("bool", true);
  writer.SetString("text", "old");
  writer.SetString("gone", "x");
  writer.SetStrings("strings", std::vector<std::string>{"a", "", std::string("b\0c", 3)});
  writer.SetInt32s("ints", std::vector<int32_t>{1, -2, 3});
  writer.SetFloat32s("floats", std::vector<float>{0.5F, -1e30F});
  writer.SetString("text", "new");
  writer.Remove("gone");
  const std::vector<uint64_t> shape_a = {256, 3};
  const std::vector<uint64_t> shape_b = {5};
  const std::vector<uint64_t> shape_c = {32, 2, 3, 4};
  writer.AddTensor("a", GgmlType::kQ4_K, shape_a);
  writer.AddTensor("b", GgmlType::kF32, shape_b);
  writer.AddTensor("c", GgmlType::kQ8_0, shape_c);
  const std::vector<std::byte> a = Pattern(3 * 144);
  const std::vector<std::byte> b = Pattern(5 * 4);
  const std::vector<std::byte> c = Pattern(24 * 34);
  ASSERT_TRUE(writer.Open(path_));
  EXPECT_FALSE(std::filesystem::exists(path_)) << "appears only when finished";
  ASSERT_TRUE(writer.Write(a));
  ASSERT_TRUE(writer.Write(std::span(b).first(7)));
  ASSERT_TRUE(writer.Write(std::span(b).subspan(7)));
  ASSERT_TRUE(writer.Write(c));
  ASSERT_TRUE(writer.Finish());
  EXPECT_THAT(FilesIn(dir_.path()), ElementsAre("model.gguf"));

  const Result<GgufFile> file = GgufFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(file->alignment(), 32U);
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(path_));
  std::vector<std::string_view> keys;
  for (const MetaEntry& entry : file->metadata()) keys.push_back(entry.key);
  EXPECT_THAT(keys, ElementsAre("general.architecture", "u32", "i32", "u64", "f32", "bool", "text",
                                "strings", "ints", "floats"));
  EXPECT_EQ(file->GetString("general.architecture").value(), "llama");
  EXPECT_EQ(file->GetUint("u32").value(), 0xfffffffeU);
  EXPECT_EQ(std::get<int64_t>(file->Find("i32")->value), -5);
  EXPECT_EQ(file->GetUint("u64").value(), 1ULL << 63);
  EXPECT_EQ(file->GetFloat("f32").value(), double{0.1F});
  EXPECT_TRUE(file->GetBool("bool").value());
  EXPECT_EQ(file->GetString("text").value(), "new");
  EXPECT_THAT(file->GetStrings("strings").value(),
              ElementsAre("a", "", std::string_view("b\0c", 3)));
  EXPECT_THAT(file->GetInts("ints").value(), ElementsAre(1, -2, 3));
  EXPECT_THAT(file->GetFloats("floats").value(), ElementsAre(0.5, double{-1e30F}));

  ASSERT_EQ(file->tensors().size(), 3U);
  const TensorInfo* tensor = file->FindTensor("c");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->type, GgmlType::kQ8_0);
  EXPECT_EQ(tensor->n_dims, 4U);
  EXPECT_THAT(tensor->shape, ElementsAre(32, 2, 3, 4));
  EXPECT_EQ(tensor->n_rows(), 24U);
  EXPECT_EQ(tensor->n_elements(), 768U);
  EXPECT_TRUE(std::ranges::equal(tensor->data, c));
  EXPECT_TRUE(std::ranges::equal(file->FindTensor("a")->data, a));
  EXPECT_TRUE(std::ranges::equal(file->FindTensor("b")->data, b));
  EXPECT_THAT(file->FindTensor("b")->shape, ElementsAre(5, 1, 1, 1));
  EXPECT_EQ(file->FindTensor("d"), nullptr);
}

/// Every value type, arrays of each, and arrays in arrays, as one file's header.
std::vector<std::byte> HeaderOfAllTypes() {
  GgufWriter writer;
  const auto set = [&]<typename T>(MetaType type, auto value, const std::vector<T>& elements) {
    const std::string name(NameOf(type));
    writer.SetValue(name, {type, value});
    writer.SetValue(name + ".array",
                    {MetaType::kArray, MetaArray{type, std::as_bytes(std::span(elements))}});
  };
  set(MetaType::kUint8, uint64_t{255}, std::vector<uint8_t>{0, 255});
  set(MetaType::kInt8, int64_t{-128}, std::vector<int8_t>{-128, 127});
  set(MetaType::kUint16, uint64_t{65535}, std::vector<uint16_t>{0, 65535});
  set(MetaType::kInt16, int64_t{-32768}, std::vector<int16_t>{-32768, 32767});
  set(MetaType::kUint32, uint64_t{UINT32_MAX}, std::vector<uint32_t>{0, UINT32_MAX});
  set(MetaType::kInt32, int64_t{INT32_MIN}, std::vector<int32_t>{INT32_MIN, INT32_MAX});
  set(MetaType::kUint64, uint64_t{UINT64_MAX}, std::vector<uint64_t>{0, UINT64_MAX});
  set(MetaType::kInt64, int64_t{INT64_MIN}, std::vector<int64_t>{INT64_MIN, INT64_MAX});
  set(MetaType::kFloat32, double{1.5F}, std::vector<float>{0.1F, -0.0F, INFINITY, NAN});
  set(MetaType::kFloat64, 1e300, std::vector<double>{0.1, -0.0, -INFINITY, NAN});
  set(MetaType::kBool, true, std::vector<uint8_t>{1, 0, 1});
  writer.SetString("string", "text");
  writer.SetStrings("string.array", std::vector<std::string>{"", "a\xff"});
  const std::vector<int16_t> numbers{-1, 2};
  const MetaArray inner{MetaType::kInt16, std::as_bytes(std::span(numbers))};
  const MetaArray empty{MetaType::kString, std::vector<std::string_view>{}};
  const MetaArray nested{MetaType::kArray, std::vector<MetaArray>{inner, empty}};
  const MetaArray outer{MetaType::kArray, std::vector<MetaArray>{nested, nested}};
  writer.SetValue("nested", {MetaType::kArray, outer});
  return writer.Header();
}

TEST_F(GgufWriterTest, EveryMetadataTypeIsCopiedBitForBit) {
  const std::vector<std::byte> bytes = HeaderOfAllTypes();
  const Result<GgufFile> file = GgufFile::FromMemory(bytes, "all types");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().size(), 25U);
  GgufWriter copy;
  for (const MetaEntry& entry : file->metadata()) copy.SetValue(entry.key, entry.value);
  EXPECT_EQ(copy.Header(), bytes);

  EXPECT_EQ(std::get<int64_t>(file->Find("int64")->value), INT64_MIN);
  EXPECT_EQ(file->GetUint("uint64").value(), UINT64_MAX);
  EXPECT_EQ(file->GetFloat("float64").value(), 1e300);
  EXPECT_THAT(file->GetInts("int8.array").value(), ElementsAre(-128, 127));
  EXPECT_THAT(file->GetInts("uint8.array").value(), ElementsAre(0, 255));
  EXPECT_THAT(file->GetInts("uint16.array").value(), ElementsAre(0, 65535));
  EXPECT_THAT(file->GetInts("int64.array").value(), ElementsAre(INT64_MIN, INT64_MAX));
  const auto& bools = std::get<MetaArray>(file->Find("bool.array")->value);
  EXPECT_TRUE(std::get<bool>(bools.number(0)) && std::get<bool>(bools.number(2)));
  EXPECT_FALSE(std::get<bool>(bools.number(1)));
  EXPECT_THAT(file->GetStrings("string.array").value(), ElementsAre("", "a\xff"));
  const auto& nested = std::get<MetaArray>(file->Find("nested")->value);
  const auto& outer = std::get<std::vector<MetaArray>>(nested.elements);
  ASSERT_EQ(outer.size(), 2U);
  const auto& inner = std::get<std::vector<MetaArray>>(outer[1].elements);
  ASSERT_EQ(inner[0].size(), 2U);
  EXPECT_EQ(std::get<int64_t>(inner[0].number(0)), -1);
  EXPECT_EQ(std::get<int64_t>(inner[0].number(1)), 2);
  EXPECT_EQ(inner[1].size(), 0U);
}

TEST_F(GgufWriterTest, KeysKeepTheirPlaces) {
  GgufWriter writer;
  for (const char* key : {"a", "b", "c", "d"}) writer.SetString(key, key);
  writer.Remove("b");
  writer.Remove("none");
  writer.SetUint32("d", 4);
  writer.SetUint32("b", 2);
  writer.SetUint32("a", 1);
  const std::vector<std::byte> bytes = writer.Header();
  const Result<GgufFile> file = GgufFile::FromMemory(bytes, "f");
  ASSERT_TRUE(file) << file.error().message;
  std::vector<std::string_view> keys;
  for (const MetaEntry& entry : file->metadata()) keys.push_back(entry.key);
  EXPECT_THAT(keys, ElementsAre("a", "c", "d", "b"));
  EXPECT_EQ(file->GetUint("a").value(), 1U);
  EXPECT_EQ(file->GetString("c").value(), "c");
  EXPECT_EQ(file->GetUint("d").value(), 4U);
  EXPECT_EQ(file->GetUint("b").value(), 2U);
}

TEST_F(GgufWriterTest, ReaderAndWriterAgreeOnEveryAlignment) {
  for (const uint32_t alignment : {8U, 16U, 32U, 64U, 4096U, 65536U}) {
    GgufWriter writer;
    writer.SetUint32("general.alignment", alignment);
    const std::vector<uint64_t> shape = {3};
    writer.AddTensor("first", GgmlType::kF32, shape);
    writer.AddTensor("second", GgmlType::kI8, shape);
    ASSERT_TRUE(writer.Open(path_));
    ASSERT_TRUE(writer.Write(Pattern(12)));
    ASSERT_TRUE(writer.Write(Pattern(3)));
    ASSERT_TRUE(writer.Finish());
    const Result<GgufFile> file = GgufFile::Open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_TRUE(std::ranges::equal(file->FindTensor("first")->data, Pattern(12)));
    EXPECT_TRUE(std::ranges::equal(file->FindTensor("second")->data, Pattern(3)));
    EXPECT_EQ(file->file_bytes() % alignment, 0U);
  }
}

TEST_F(GgufWriterTest, ManyMegabytesInPieces) {
  const std::vector<std::byte> big = Pattern(9 << 20);
  GgufWriter writer;
  const std::vector<uint64_t> shape = {big.size()};
  writer.AddTensor("big", GgmlType::kI8, shape);
  writer.AddTensor("again", GgmlType::kI8, shape);
  ASSERT_TRUE(writer.Open(path_));
  ASSERT_TRUE(writer.Write(big));
  for (size_t i = 0; i < big.size(); i += 1000003) {
    ASSERT_TRUE(writer.Write(std::span(big).subspan(i, std::min<size_t>(1000003, big.size() - i))));
  }
  ASSERT_TRUE(writer.Finish());
  const Result<GgufFile> file = GgufFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(std::ranges::equal(file->FindTensor("big")->data, big));
  EXPECT_TRUE(std::ranges::equal(file->FindTensor("again")->data, big));
}

TEST_F(GgufWriterTest, BadTensorsAndKeysAreReportedAtOpen) {
  const auto message_of = [&](auto prepare) {
    GgufWriter writer;
    prepare(writer);
    const Status status = writer.Open(path_);
    return status ? "no error" : status.error().message;
  };
  const std::vector<uint64_t> odd = {33};
  const std::vector<uint64_t> none = {4, 0};
  const std::vector<uint64_t> five = {1, 1, 1, 1, 1};
  const std::vector<uint64_t> huge = {1ULL << 40, 1ULL << 40};
  EXPECT_THAT(message_of([&](auto& w) { w.AddTensor("t", GgmlType::kQ8_0, odd); }),
              HasSubstr("tensor 't': shape 33 of type Q8_0"));
  EXPECT_THAT(message_of([&](auto& w) { w.AddTensor("t", GgmlType::kF32, none); }),
              HasSubstr("shape 4x0"));
  EXPECT_THAT(message_of([&](auto& w) { w.AddTensor("t", GgmlType::kF32, five); }),
              HasSubstr("shape 1x1x1x1x1"));
  EXPECT_THAT(message_of([&](auto& w) { w.AddTensor("t", GgmlType::kF32, huge); }),
              HasSubstr("shape 1099511627776x1099511627776"));
  EXPECT_THAT(message_of([&](auto& w) {
                w.AddTensor("t", GgmlType::kF32, odd);
                w.AddTensor("t", GgmlType::kF32, odd);
              }),
              HasSubstr("tensor 't': added twice"));
  EXPECT_THAT(message_of([&](auto& w) { w.SetUint32("general.alignment", 12); }),
              HasSubstr("power of two"));
  EXPECT_THAT(message_of([&](auto& w) { w.SetUint32("general.alignment", 1 << 17); }),
              HasSubstr("from 8 to 65536"));
  const std::vector<uint64_t> half = {1ULL << 61};
  EXPECT_THAT(message_of([&](auto& w) {
                w.AddTensor("s", GgmlType::kI8, half);
                w.AddTensor("t", GgmlType::kI8, half);
                w.AddTensor("u", GgmlType::kI8, odd);
              }),
              HasSubstr("tensor 'u': all together have over 4611686018427387904 bytes"));
  EXPECT_THAT(message_of([&](auto& w) { w.SetBool("", true); }), HasSubstr("key is empty"));
  EXPECT_THAT(FilesIn(dir_.path()), IsEmpty());
}

TEST_F(GgufWriterTest, TooFewOrTooManyBytesAreErrors) {
  const std::vector<uint64_t> shape = {4};
  {
    GgufWriter writer;
    writer.AddTensor("t", GgmlType::kF32, shape);
    ASSERT_TRUE(writer.Open(path_));
    ASSERT_TRUE(writer.Write(Pattern(15)));
    EXPECT_EQ(writer.Finish().error().message, "tensor 't': 15 bytes written, expected 16");
    EXPECT_EQ(writer.Write(Pattern(2)).error().message, "tensor 't': 17 bytes, expected 16");
    ASSERT_TRUE(writer.Write(Pattern(1)));
    EXPECT_EQ(writer.Write(Pattern(1)).error().message, "1 bytes after the last tensor");
  }
  EXPECT_THAT(FilesIn(dir_.path()), IsEmpty()) << "unfinished, so it leaves nothing";
}

TEST_F(GgufWriterTest, WhereItCannotWriteItSaysSoAndLeavesNothing) {
  std::filesystem::create_directory(dir_.File("folder"));
  GgufWriter writer;
  EXPECT_THAT(writer.Open(dir_.File("none/model.gguf")).error().message,
              HasSubstr("none/model.gguf: cannot create: No such file or directory"));
  EXPECT_THAT(writer.Open(dir_.File("folder")).error().message, HasSubstr("not a regular file"));
  EXPECT_EQ(writer.Open("/dev/null").error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(FilesIn(dir_.path()), ElementsAre("folder"));
}

/// Lets no file grow beyond `bytes` while it lives: the nearest to a full disk that needs no
/// privilege.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_before_ = signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_before_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  sighandler_t handler_before_;
};

TEST_F(GgufWriterTest, ADiskTooSmallShowsBeforeTheWork) {
  const FileSizeLimit limit(1 << 20);
  GgufWriter writer;
  const std::vector<uint64_t> shape = {8 << 20};
  writer.AddTensor("big", GgmlType::kI8, shape);
  const Status status = writer.Open(path_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("model.gguf: cannot reserve"));
  EXPECT_THAT(FilesIn(dir_.path()), IsEmpty());
}

TEST_F(GgufWriterTest, AFailedWriteLeavesTheOldFile) {
  std::ofstream(path_) << "old";
  GgufWriter writer;
  const std::vector<uint64_t> shape = {8 << 20};
  writer.AddTensor("big", GgmlType::kI8, shape);
  ASSERT_TRUE(writer.Open(path_));
  {
    const FileSizeLimit limit(1 << 20);
    const Status status = writer.Write(Pattern(8 << 20));
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("model.gguf: cannot write: File too large"));
  }
  EXPECT_THAT(FilesIn(dir_.path()), ElementsAre("model.gguf"));
  EXPECT_EQ(std::filesystem::file_size(path_), 3U);
}

TEST_F(GgufWriterTest, AProcessThatEndsLeavesNothing) {
  const int probe = open(dir_.path().c_str(), O_TMPFILE | O_WRONLY, 0666);
  if (probe < 0) GTEST_SKIP() << "the file system has no files without names";
  close(probe);
  const auto write_and_end = [&] {
    GgufWriter writer;
    const std::vector<uint64_t> shape = {8 << 20};
    writer.AddTensor("big", GgmlType::kI8, shape);
    const bool written =
        writer.Open(path_).has_value() && writer.Write(Pattern(5 << 20)).has_value();
    _exit(written ? 7 : 1);  // as a signal would: no destructor runs
  };
  EXPECT_EXIT(write_and_end(), ::testing::ExitedWithCode(7), "");
  EXPECT_THAT(FilesIn(dir_.path()), IsEmpty());
}

TEST_F(GgufWriterTest, TheFileHasTheUsualRights) {
  const mode_t before = umask(027);
  GgufWriter writer;
  writer.SetBool("new", true);
  ASSERT_TRUE(writer.Open(path_));
  ASSERT_TRUE(writer.Finish());
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST_F(GgufWriterTest, AFileThatReplacesAnotherHasItsRights) {
  std::ofstream(path_) << "old";
  ASSERT_EQ(chmod(path_.c_str(), 0604), 0);
  struct stat before {};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  GgufWriter writer;
  writer.SetBool("new", true);
  ASSERT_TRUE(writer.Open(path_));
  ASSERT_TRUE(writer.Finish());
  struct stat after {};
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_NE(after.st_size, before.st_size);
  EXPECT_EQ(after.st_mode & 0777U, 0604U);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_gid, before.st_gid);
}

TEST_F(GgufWriterTest, AFolderThatCannotBeWrittenIsAnErrorAtFinish) {
  const std::string folder = dir_.File("folder");
  std::filesystem::create_directory(folder);
  GgufWriter writer;
  ASSERT_TRUE(writer.Open(folder + "/model.gguf"));
  std::filesystem::remove_all(folder);
  const Status status = writer.Finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            folder + "/model.gguf: cannot write: No such file or directory");
  EXPECT_THAT(FilesIn(dir_.path()), IsEmpty());
}

TEST_F(GgufWriterTest, ReplacesAFileAtFinish) {
  std::ofstream(path_) << "old";
  GgufWriter writer;
  writer.SetBool("new", true);
  ASSERT_TRUE(writer.Open(path_));
  EXPECT_EQ(std::filesystem::file_size(path_), 3U);
  ASSERT_TRUE(writer.Finish());
  EXPECT_TRUE(GgufFile::Open(path_)->GetBool("new").value());
  EXPECT_THAT(FilesIn(dir_.path()), ElementsAre("model.gguf"));
}

}  // namespace
}  // namespace quern
