#include "gguf/base/base64.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

/// The vectors of RFC 4648, section 10, and bytes that use all of the alphabet's end.
TEST(Base64, EncodesTheVectorsOfItsStandard) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64("\xff\xef\xbe\xfb"),
            "/+++"
            "+w==");
}

}  // namespace
}  // namespace quern
