// Typed look-ups: what each accepts, and how it names what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/gguf_writer.h"

namespace quern {
namespace {

using ::testing::ElementsAre;

class MetadataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GgufWriter writer;
    writer.SetUint32("uint", 7);
    writer.SetInt32("int", 8);
    writer.SetInt32("negative", -3);
    writer.SetUint64("big", UINT64_MAX);
    writer.SetFloat32("float", 0.5F);
    writer.SetBool("bool", true);
    writer.SetString("string", "text");
    writer.SetStrings("strings", std::vector<std::string>{"a", "b"});
    writer.SetInt32s("ints", std::vector<int32_t>{1, -2});
    writer.SetFloat32s("floats", std::vector<float>{0.25F});
    const std::vector<uint64_t> uints{1, UINT64_MAX};
    writer.SetValue(
        "uints", {MetaType::kArray, MetaArray{MetaType::kUint64, std::as_bytes(std::span(uints))}});
    writer.SetValue("uint8", {MetaType::kUint8, uint64_t{255}});
    writer.SetValue("int8", {MetaType::kInt8, int64_t{127}});
    writer.SetValue("uint16", {MetaType::kUint16, uint64_t{65535}});
    writer.SetValue("int16", {MetaType::kInt16, int64_t{-32768}});
    writer.SetValue("int64", {MetaType::kInt64, int64_t{INT64_MAX}});
    const std::vector<uint8_t> many(kMaxNumbers + 1, 1);
    writer.SetValue(
        "many", {MetaType::kArray, MetaArray{MetaType::kUint8, std::as_bytes(std::span(many))}});
    writer.SetValue(
        "most", {MetaType::kArray,
                 MetaArray{MetaType::kUint8, std::as_bytes(std::span(many).first(kMaxNumbers))}});
    bytes_ = writer.Header();
    Result<GgufFile> file = GgufFile::FromMemory(bytes_, "f");
    ASSERT_TRUE(file) << file.error().message;
    file_.emplace(*std::move(file));
  }

  std::vector<std::byte> bytes_;
  std::optional<GgufFile> file_;
};

TEST_F(MetadataTest, IntegersOfAnyWidthAndSign) {
  EXPECT_EQ(file_->GetUint("uint").value(), 7U);
  EXPECT_EQ(file_->GetUint("int").value(), 8U);
  EXPECT_EQ(file_->GetUint("big").value(), UINT64_MAX);
  EXPECT_EQ(file_->GetUint("uint8").value(), 255U);
  EXPECT_EQ(file_->GetUint("int8").value(), 127U);
  EXPECT_EQ(file_->GetUint("uint16").value(), 65535U);
  EXPECT_EQ(file_->GetUint("int64").value(), static_cast<uint64_t>(INT64_MAX));
  EXPECT_EQ(file_->GetUint("int16").error().message,
            "f: key 'int16': value -32768, expected 0 to 2^64-1");
  const Result<uint64_t> negative = file_->GetUint("negative");
  ASSERT_FALSE(negative);
  EXPECT_EQ(negative.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(negative.error().message, "f: key 'negative': value -3, expected 0 to 2^64-1");
}

TEST_F(MetadataTest, AMissingKeyIsNotFound) {
  const Result<uint64_t> missing = file_->GetUint("none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().message, "f: key 'none': missing");
  EXPECT_EQ(file_->GetStrings("none").error().code, ErrorCode::kNotFound);
}

TEST_F(MetadataTest, WrongTypesNameBoth) {
  EXPECT_EQ(file_->GetUint("float").error().message,
            "f: key 'float': type float32, expected an integer");
  EXPECT_EQ(file_->GetUint("bool").error().message,
            "f: key 'bool': type bool, expected an integer");
  EXPECT_EQ(file_->GetFloat("uint").error().message,
            "f: key 'uint': type uint32, expected a float");
  EXPECT_EQ(file_->GetBool("uint").error().message, "f: key 'uint': type uint32, expected bool");
  EXPECT_EQ(file_->GetString("strings").error().message,
            "f: key 'strings': type array of string, expected string");
  EXPECT_EQ(file_->GetStrings("ints").error().message,
            "f: key 'ints': type array of int32, expected array of string");
  EXPECT_EQ(file_->GetInts("floats").error().message,
            "f: key 'floats': type array of float32, expected array of integers");
  EXPECT_EQ(file_->GetFloats("ints").error().message,
            "f: key 'ints': type array of int32, expected array of floats");
}

TEST_F(MetadataTest, Arrays) {
  EXPECT_THAT(file_->GetStrings("strings").value(), ElementsAre("a", "b"));
  EXPECT_THAT(file_->GetInts("ints").value(), ElementsAre(1, -2));
  EXPECT_THAT(file_->GetFloats("floats").value(), ElementsAre(0.25));
  EXPECT_EQ(file_->GetInts("uints").error().message,
            "f: key 'uints': value 18446744073709551615 at index 1, expected at most 2^63-1");
}

TEST_F(MetadataTest, NumbersAreCopiedOutUpToABound) {
  EXPECT_EQ(file_->GetInts("most").value().size(), kMaxNumbers);
  const auto many = file_->GetInts("many");
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(many.error().message, "f: key 'many': 2097153 elements, expected at most 2097152");
}

TEST_F(MetadataTest, FallbacksCoverOnlyMissingKeys) {
  EXPECT_EQ(file_->GetUintOr("none", 5).value(), 5U);
  EXPECT_EQ(file_->GetUintOr("uint", 5).value(), 7U);
  EXPECT_FALSE(file_->GetUintOr("string", 5));
  EXPECT_EQ(file_->GetFloatOr("none", 1.5).value(), 1.5);
  EXPECT_EQ(file_->GetFloatOr("float", 1.5).value(), 0.5);
  EXPECT_FALSE(file_->GetBoolOr("none", false).value());
  EXPECT_TRUE(file_->GetBoolOr("bool", false).value());
  EXPECT_EQ(file_->GetStringOr("none", "x").value(), "x");
  EXPECT_EQ(file_->GetStringOr("string", "x").value(), "text");
  EXPECT_FALSE(file_->GetStringOr("uint", "x"));
}

}  // namespace
}  // namespace quern
