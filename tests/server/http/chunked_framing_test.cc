#include "server/http/chunked_framing.h"

#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

/// The status, 0 for a body that has not ended, or 200 with `*rest`, what follows the body.
int Follow(std::string_view bytes, size_t piece, std::string* rest = nullptr) {
  ChunkedFraming framing(100);
  while (!bytes.empty() && !framing.ended()) {
    const auto n = framing.Follow(bytes.substr(0, piece));
    if (!n) return n.error().status;
    bytes.remove_prefix(*n);
  }
  if (rest != nullptr) *rest = bytes;
  return framing.ended() ? 200 : 0;
}

TEST(ChunkedFraming, FindsTheEnd) {
  const std::string body =
      "5\r\nhello\r\nA;x=\"y\"\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\nTrailer: 1\r\n\r\n";
  for (size_t piece = 1; piece <= body.size() + 4; ++piece) {
    std::string rest;
    EXPECT_EQ(Follow(body + "GET ", piece, &rest), 200) << piece;
    EXPECT_EQ(rest, "GET ") << piece;
    EXPECT_EQ(Follow(body.substr(0, body.size() - 1), piece), 0) << piece;
  }
}

TEST(ChunkedFraming, IsStrict) {
  for (const char* body :
       {"\r\n", "x\r\n", "-1\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n",
        "5\nhello\r\n", "5\r\nhello0\r\n", "5\r\nhello\n0\r\n", "5\r\nhello\rx", "5\rhello",
        "5;\nhello", "000000005\r\nhello\r\n", "0\r\n\n", "0\r\n\rx", "0\r\nTrailer: 1\n"}) {
    EXPECT_EQ(Follow(body, 1), 400) << body;
    EXPECT_EQ(Follow(body, 100), 400) << body;
  }
}

TEST(ChunkedFraming, LimitsTheBody) {
  const std::string half = "32\r\n" + std::string(50, 'x') + "\r\n";
  EXPECT_EQ(Follow(half + half + "0\r\n\r\n", 7), 200);
  EXPECT_EQ(Follow(half + half + "1\r\n", 7), 413);
  EXPECT_EQ(Follow("ffffffff\r\n", 7), 413);
}

TEST(ChunkedFraming, LimitsItsLines) {
  EXPECT_EQ(Follow("1;" + std::string(5000, 'x'), 100), 400);
  EXPECT_EQ(Follow("0\r\n" + std::string(5000, 'x'), 100), 400);
}

}  // namespace
}  // namespace quern
