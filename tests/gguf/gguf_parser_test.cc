// Each check of the parser with the message it gives, and files broken in every possible place.
#include "gguf/gguf_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "gguf/gguf_file.h"
#include "tests/testing/gguf_bytes.h"

namespace quern {
namespace {

using ::quern::testing::GgufBytes;
using ::testing::ElementsAre;
using ::testing::StartsWith;

// Ids of value types as files in the world have them, not as our header says.
constexpr uint32_t kUint8 = 0;
constexpr uint32_t kInt8 = 1;
constexpr uint32_t kUint16 = 2;
constexpr uint32_t kInt16 = 3;
constexpr uint32_t kUint32 = 4;
constexpr uint32_t kInt32 = 5;
constexpr uint32_t kFloat32 = 6;
constexpr uint32_t kBool = 7;
constexpr uint32_t kString = 8;
constexpr uint32_t kArray = 9;
constexpr uint32_t kUint64 = 10;
constexpr uint32_t kInt64 = 11;
constexpr uint32_t kFloat64 = 12;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ8_0 = 8;

/// The error that the bytes give, or "no error"; whole, so that a test sees exactly what a user
/// does.
std::string ErrorOf(const std::vector<std::byte>& bytes, ErrorCode code = ErrorCode::kCorruptFile) {
  const Result<GgufFile> file = GgufFile::FromMemory(bytes, "f");
  if (file) return "no error";
  EXPECT_EQ(file.error().code, code) << file.error().message;
  return file.error().message;
}
std::string ErrorOf(const GgufBytes& builder, ErrorCode code = ErrorCode::kCorruptFile) {
  return ErrorOf(builder.bytes(), code);
}

/// A file with one key whose value follows.
GgufBytes OneKey(std::string_view key, uint32_t type) {
  return GgufBytes().Header(0, 1).Key(key, type);
}

/// A file with one tensor and `data_bytes` of data.
GgufBytes OneTensor(const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset,
                    size_t data_bytes) {
  return GgufBytes().Header(1, 0).Tensor("t", shape, type, offset).PadTo(32).Zeros(data_bytes);
}

TEST(GgufParser, ReadsVersion2And3) {
  for (const uint32_t version : {2U, 3U}) {
    const GgufBytes bytes = GgufBytes()
                                .Header(1, 1, version)
                                .Key("k", kUint32)
                                .Number(uint32_t{7})
                                .Tensor("t", {2, 3}, kF32, 0)
                                .PadTo(32)
                                .Zeros(24);
    const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->GetUint("k").value(), 7U);
    EXPECT_THAT(file->FindTensor("t")->shape, ElementsAre(2, 3, 1, 1));
    EXPECT_EQ(file->FindTensor("t")->data.size(), 24U);
  }
}

TEST(GgufParser, StringsAndDataAreViewsOfTheBytes) {
  const GgufBytes bytes = GgufBytes()
                              .Header(1, 1)
                              .Key("k", kString)
                              .String("text")
                              .Tensor("t", {1}, kF32, 0)
                              .PadTo(32)
                              .Zeros(4);
  const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
  ASSERT_TRUE(file) << file.error().message;
  const auto* begin = reinterpret_cast<const char*>(bytes.bytes().data());
  EXPECT_EQ(file->GetString("k").value().data(), begin + 24 + 8 + 1 + 4 + 8);
  EXPECT_EQ(file->FindTensor("t")->data.data() + 4, bytes.bytes().data() + bytes.bytes().size());
}

TEST(GgufParser, AScalarTensorHasNoDimensions) {
  const GgufBytes bytes = OneTensor({}, kF32, 0, 4);
  const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->FindTensor("t")->n_dims, 0U);
  EXPECT_EQ(file->FindTensor("t")->n_elements(), 1U);
}

TEST(GgufParser, TypesThatCannotRunStillParse) {
  constexpr uint32_t kIq2Xxs = 16;
  const GgufBytes bytes = OneTensor({256}, kIq2Xxs, 0, 66);
  const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->FindTensor("t")->type, GgmlType::kIQ2_XXS);
}

TEST(GgufParser, HeaderErrors) {
  EXPECT_EQ(ErrorOf(GgufBytes().Raw("GG")), "f: the file ends at byte 2 inside the magic 'GGUF'");
  EXPECT_EQ(ErrorOf(GgufBytes().Raw("\x1b[2J").Zeros(30)),
            "f: not a GGUF file: starts with '\\x1b[2J', expected 'GGUF'");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(0, 0, 1)), "f: GGUF version 1, expected 2 or 3");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(0, 0, 4)), "f: GGUF version 4, expected 2 or 3");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(0, 0, 0)), "f: GGUF version 0, expected 2 or 3");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(0, 0, 0x03000000)),
            "f: a big-endian GGUF file, expected little endian");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(UINT64_MAX, 0).Zeros(100)),
            "f: claims 18446744073709551615 tensors, but 100 bytes remain");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(0, 1ULL << 61).Zeros(100)),
            "f: claims 2305843009213693952 metadata keys, but 100 bytes remain");
}

TEST(GgufParser, KeyErrors) {
  EXPECT_EQ(
      ErrorOf(GgufBytes().Header(0, 1).Number(UINT64_MAX).Zeros(20)),
      "f: key 1 of 1: a string of 18446744073709551615 bytes at byte 32, but 20 bytes remain");
  EXPECT_EQ(ErrorOf(OneKey("", kUint8).Zeros(9)), "f: key 1 of 1: the key is empty");
  EXPECT_EQ(ErrorOf(OneKey("k", 13).Zeros(9)),
            "f: key 'k': a value type with id 13, expected 0 to 12");
  EXPECT_EQ(ErrorOf(OneKey("k", kUint64).Number(uint32_t{5})),
            "f: key 'k': the file ends at byte 41 inside a value of type uint64");
  EXPECT_EQ(ErrorOf(OneKey("k", kBool).Number(uint8_t{2})),
            "f: key 'k': a bool of value 2, expected 0 or 1");
  EXPECT_EQ(ErrorOf(OneKey("k", kString).Number(uint64_t{9}).Raw("text")),
            "f: key 'k': a string of 9 bytes at byte 45, but 4 bytes remain");
  EXPECT_EQ(ErrorOf(GgufBytes()
                        .Header(0, 2)
                        .Key("k", kUint8)
                        .Number(uint8_t{1})
                        .Key("k", kUint8)
                        .Number(uint8_t{1})),
            "f: key 'k': occurs twice");
}

TEST(GgufParser, ArrayErrors) {
  EXPECT_EQ(ErrorOf(OneKey("k", kArray).Number(uint32_t{77}).Number(uint64_t{0})),
            "f: key 'k': an array element type with id 77, expected 0 to 12");
  EXPECT_EQ(
      ErrorOf(OneKey("k", kArray).Number(kUint64).Number(1ULL << 61).Zeros(64)),
      "f: key 'k': an array of 2305843009213693952 elements of type uint64, but 64 bytes remain");
  EXPECT_EQ(ErrorOf(OneKey("k", kArray).Number(kString).Number(uint64_t{9}).Zeros(64)),
            "f: key 'k': an array of 9 elements of type string, but 64 bytes remain");
  EXPECT_EQ(ErrorOf(OneKey("k", kArray).Number(kArray).Number(uint64_t{6}).Zeros(64)),
            "f: key 'k': an array of 6 elements of type array, but 64 bytes remain");
  EXPECT_EQ(ErrorOf(OneKey("k", kArray).Number(kBool).Number(uint64_t{2}).Raw("\x01\x03")),
            "f: key 'k': a bool of value 3, expected 0 or 1");
}

/// A key whose value is `depth` arrays in each other, the innermost empty.
GgufBytes Nested(int depth) {
  GgufBytes bytes = OneKey("k", kArray);
  for (int i = 1; i < depth; ++i) bytes.Number(kArray).Number(uint64_t{1});
  return bytes.Number(kUint8).Number(uint64_t{0});
}

TEST(GgufParser, NestingIsBounded) {
  EXPECT_EQ(ErrorOf(Nested(8)), "no error");
  EXPECT_EQ(ErrorOf(Nested(9)), "f: key 'k': arrays nested deeper than 8 levels");
  EXPECT_EQ(ErrorOf(Nested(1000000)), "f: key 'k': arrays nested deeper than 8 levels");
}

TEST(GgufParser, AlignmentErrors) {
  for (const uint32_t alignment : {0U, 1U, 4U, 12U, 24U, 1U << 17, 0xffffffffU}) {
    EXPECT_EQ(ErrorOf(OneKey("general.alignment", kUint32).Number(alignment)),
              fmt::format("f: key 'general.alignment': alignment {}, expected a power of two from "
                          "8 to 65536",
                          alignment));
  }
  EXPECT_EQ(ErrorOf(OneKey("general.alignment", kUint64).Number(uint64_t{32})),
            "f: key 'general.alignment': type uint64, expected uint32");
  EXPECT_EQ(ErrorOf(OneKey("general.alignment", kUint32).Number(1U << 16)), "no error");
}

TEST(GgufParser, TensorErrors) {
  EXPECT_EQ(ErrorOf(GgufBytes().Header(1, 0).Tensor("", {1}, kF32, 0).PadTo(32).Zeros(4)),
            "f: tensor 1 of 1: the name is empty");
  EXPECT_EQ(ErrorOf(OneTensor({1, 1, 1, 1, 1}, kF32, 0, 4)),
            "f: tensor 't': 5 dimensions, expected at most 4");
  EXPECT_EQ(ErrorOf(OneTensor({4, 0}, kF32, 0, 4)), "f: tensor 't': dimension 2 of the shape is 0");
  EXPECT_EQ(ErrorOf(OneTensor({4}, 4, 0, 16), ErrorCode::kUnsupported),
            "f: tensor 't': unknown tensor type id 4, expected one in use from 0 to 42 (Q2_0)");
  EXPECT_EQ(ErrorOf(OneTensor({4}, UINT32_MAX, 0, 16), ErrorCode::kUnsupported),
            "f: tensor 't': unknown tensor type id 4294967295, expected one in use from 0 to 42 "
            "(Q2_0)");
  EXPECT_EQ(ErrorOf(OneTensor({33}, kQ8_0, 0, 99)),
            "f: tensor 't': rows of 33 elements, expected a multiple of the block size 32 of Q8_0");
  EXPECT_EQ(ErrorOf(OneTensor({1ULL << 32, 1ULL << 32}, kF32, 0, 4)),
            "f: tensor 't': a shape of 4294967296x4294967296x1x1 elements, expected less than 2^64 "
            "bytes");
  EXPECT_EQ(ErrorOf(OneTensor({1ULL << 62}, kF32, 0, 4)),
            "f: tensor 't': a shape of 4611686018427387904x1x1x1 elements, expected less than 2^64 "
            "bytes");
  EXPECT_EQ(ErrorOf(OneTensor({4}, kF32, 8, 32)),
            "f: tensor 't': data at offset 8, expected a multiple of the alignment 32");
  EXPECT_EQ(
      ErrorOf(OneTensor({9}, kF32, 0, 35)),
      "f: tensor 't': 36 bytes of data at offset 0, but the file's data section has 35 bytes");
  EXPECT_EQ(ErrorOf(OneTensor({1}, kF32, UINT64_MAX - 31, 35)),
            "f: tensor 't': 4 bytes of data at offset 18446744073709551584, but the file's data "
            "section has 35 bytes");
  EXPECT_EQ(ErrorOf(GgufBytes().Header(1, 0).Tensor("t", {1}, kF32, 0)),
            "f: tensor 't': 4 bytes of data at offset 0, but the file's data section has 0 bytes");
}

// What little memory each takes adds up, and a sparse file of gigabytes costs nothing.
TEST(GgufParser, CountsAreBounded) {
  constexpr uint64_t kMost = 1 << 21;
  const std::string expected = "keys, tensors, strings and arrays add up to more than 2097152";
  EXPECT_EQ(
      ErrorOf(GgufBytes().Header(0, kMost + 1).Zeros(13 * (kMost + 1)), ErrorCode::kUnsupported),
      "f: " + expected);
  EXPECT_EQ(ErrorOf(GgufBytes().Header(kMost, 1).Zeros(24 * kMost), ErrorCode::kUnsupported),
            "f: " + expected);
  const auto strings = [](uint64_t count) {
    return OneKey("k", kArray).Number(kString).Number(count).Zeros(8 * count);
  };
  EXPECT_EQ(ErrorOf(strings(kMost - 1)), "no error");
  EXPECT_EQ(ErrorOf(strings(kMost), ErrorCode::kUnsupported), "f: key 'k': " + expected);
  EXPECT_EQ(ErrorOf(OneKey("k", kArray).Number(kArray).Number(kMost).Zeros(12 * kMost),
                    ErrorCode::kUnsupported),
            "f: key 'k': " + expected);
}

// Widened to 64 bits these would take 8 times as much.
TEST(GgufParser, NumbersOfArraysStayInTheFile) {
  const GgufBytes bytes =
      OneKey("k", kArray).Number(kUint8).Number(uint64_t{64 << 20}).Zeros(64 << 20);
  const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
  ASSERT_TRUE(file) << file.error().message;
  const auto& array = std::get<MetaArray>(file->Find("k")->value);
  EXPECT_EQ(array.size(), size_t{64} << 20);
  const auto numbers = std::get<std::span<const std::byte>>(array.elements);
  EXPECT_EQ(numbers.data() + numbers.size(), bytes.bytes().data() + bytes.bytes().size());
}

TEST(GgufParser, TensorsMayNotShareNamesOrBytes) {
  EXPECT_EQ(ErrorOf(GgufBytes()
                        .Header(2, 0)
                        .Tensor("t", {1}, kF32, 0)
                        .Tensor("t", {1}, kF32, 32)
                        .PadTo(32)
                        .Zeros(64)),
            "f: tensor 't': occurs twice");
  EXPECT_EQ(ErrorOf(GgufBytes()
                        .Header(2, 0)
                        .Tensor("a", {9}, kF32, 0)
                        .Tensor("b", {1}, kF32, 32)
                        .PadTo(32)
                        .Zeros(64)),
            "f: tensor 'b': its data overlaps that of tensor 'a'");
}

TEST(GgufParser, MessagesStayOneLineOfText) {
  const std::string message = ErrorOf(OneKey("a\nb\x1b[31m\xff'", 99).Zeros(9));
  EXPECT_EQ(message, "f: key 'a\\nb\\x1b[31m\\xff\\'': a value type with id 99, expected 0 to 12");
  EXPECT_LT(ErrorOf(OneKey(std::string(100000, 'x'), 99).Zeros(9)).size(), 200U);
}

TEST(GgufParser, SplitSetsNeedFiles) {
  const GgufBytes bytes = OneKey("split.count", kUint32).Number(uint32_t{3});
  const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message, "f: one of 3 files of a split set, expected a whole");
}

/// A key of a number and one of an array of two.
template <typename T>
void AddNumbers(GgufBytes& bytes, const std::string& name, uint32_t type, T first, T second) {
  bytes.Key(name, type).Number(first);
  bytes.Key(name + "s", kArray).Number(type).Number(uint64_t{2}).Number(first).Number(second);
}

/// A valid file that uses everything once, and nothing that may be cut off its end.
GgufBytes SmallFile(uint32_t version) {
  GgufBytes bytes;
  bytes.Header(2, 26, version);
  AddNumbers<uint8_t>(bytes, "u8", kUint8, 200, 1);
  AddNumbers<int8_t>(bytes, "i8", kInt8, -100, 1);
  AddNumbers<uint16_t>(bytes, "u16", kUint16, 50000, 1);
  AddNumbers<int16_t>(bytes, "i16", kInt16, -30000, 1);
  AddNumbers<uint32_t>(bytes, "u32", kUint32, 4000000000, 1);
  AddNumbers<int32_t>(bytes, "i32", kInt32, -2000000000, 1);
  AddNumbers<float>(bytes, "f32", kFloat32, -0.5F, 1);
  AddNumbers<uint8_t>(bytes, "bool", kBool, 1, 0);
  AddNumbers<uint64_t>(bytes, "u64", kUint64, UINT64_MAX, 1);
  AddNumbers<int64_t>(bytes, "i64", kInt64, INT64_MIN, 1);
  AddNumbers<double>(bytes, "f64", kFloat64, 1e300, 1);
  return bytes.Key("general.alignment", kUint32)
      .Number(uint32_t{16})
      .Key("text", kString)
      .String("abc")
      .Key("texts", kArray)
      .Number(kString)
      .Number(uint64_t{2})
      .String("x")
      .String("yz")
      .Key("nested", kArray)
      .Number(kArray)
      .Number(uint64_t{2})
      .Number(kUint8)
      .Number(uint64_t{3})
      .Raw("abc")
      .Number(kBool)
      .Number(uint64_t{1})
      .Number(uint8_t{0})
      .Tensor("t", {32, 2}, kQ8_0, 0)
      .Tensor("u", {3}, kF32, 80)
      .PadTo(16)
      .Zeros(80 + 12);
}

TEST(GgufParser, ReadsEveryValueType) {
  for (const uint32_t version : {2U, 3U}) {
    const GgufBytes bytes = SmallFile(version);
    const Result<GgufFile> file = GgufFile::FromMemory(bytes.bytes(), "f");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->GetUint("u8").value(), 200U);
    EXPECT_EQ(std::get<int64_t>(file->Find("i8")->value), -100);
    EXPECT_EQ(file->GetUint("u16").value(), 50000U);
    EXPECT_EQ(std::get<int64_t>(file->Find("i16")->value), -30000);
    EXPECT_EQ(file->GetUint("u32").value(), 4000000000U);
    EXPECT_EQ(std::get<int64_t>(file->Find("i32")->value), -2000000000);
    EXPECT_EQ(file->GetFloat("f32").value(), -0.5);
    EXPECT_TRUE(file->GetBool("bool").value());
    EXPECT_EQ(file->GetUint("u64").value(), UINT64_MAX);
    EXPECT_EQ(std::get<int64_t>(file->Find("i64")->value), INT64_MIN);
    EXPECT_EQ(file->GetFloat("f64").value(), 1e300);
    EXPECT_EQ(file->GetString("text").value(), "abc");
    EXPECT_THAT(file->GetStrings("texts").value(), ElementsAre("x", "yz"));

    EXPECT_THAT(file->GetInts("u8s").value(), ElementsAre(200, 1));
    EXPECT_THAT(file->GetInts("i8s").value(), ElementsAre(-100, 1));
    EXPECT_THAT(file->GetInts("u16s").value(), ElementsAre(50000, 1));
    EXPECT_THAT(file->GetInts("i16s").value(), ElementsAre(-30000, 1));
    EXPECT_THAT(file->GetInts("u32s").value(), ElementsAre(4000000000, 1));
    EXPECT_THAT(file->GetInts("i32s").value(), ElementsAre(-2000000000, 1));
    EXPECT_THAT(file->GetFloats("f32s").value(), ElementsAre(-0.5, 1));
    EXPECT_THAT(file->GetInts("i64s").value(), ElementsAre(INT64_MIN, 1));
    EXPECT_THAT(file->GetFloats("f64s").value(), ElementsAre(1e300, 1));
    const auto& u64s = std::get<MetaArray>(file->Find("u64s")->value);
    EXPECT_EQ(std::get<uint64_t>(u64s.number(0)), UINT64_MAX);
    const auto& bools = std::get<MetaArray>(file->Find("bools")->value);
    ASSERT_EQ(bools.size(), 2U);
    EXPECT_TRUE(std::get<bool>(bools.number(0)));
    EXPECT_FALSE(std::get<bool>(bools.number(1)));
  }
}

TEST(GgufParser, EveryTruncationIsAnError) {
  for (const uint32_t version : {2U, 3U}) {
    const std::vector<std::byte> whole = SmallFile(version).bytes();
    ASSERT_EQ(ErrorOf(whole), "no error");
    for (size_t size = 0; size < whole.size(); ++size) {
      // A vector of exactly this size, so that a sanitizer sees a read past the end.
      const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_THAT(ErrorOf(cut), StartsWith("f: ")) << "cut to " << size << " of " << whole.size();
    }
  }
}

TEST(GgufParser, EveryByteReplacedByEveryOther) {
  const std::vector<std::byte> whole = SmallFile(3).bytes();
  const size_t header_size = whole.size() - 92;
  size_t errors = 0;
  for (size_t i = 0; i < header_size; ++i) {
    std::vector<std::byte> broken = whole;
    for (int value = 0; value < 256; ++value) {
      broken[i] = static_cast<std::byte>(value);
      const Result<GgufFile> file = GgufFile::FromMemory(broken, "f");
      if (!file) {
        ++errors;
        EXPECT_THAT(file.error().message, StartsWith("f: "));
        EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
        continue;
      }
      const std::byte* end = broken.data() + broken.size();
      for (const TensorInfo& tensor : file->tensors()) {
        EXPECT_GE(tensor.data.data(), broken.data());
        EXPECT_LE(tensor.data.data() + tensor.data.size(), end);
      }
    }
  }
  // Letters of names and contents may change; most other bytes may not.
  EXPECT_GT(errors, header_size * 256 / 2);
}

}  // namespace
}  // namespace quern
