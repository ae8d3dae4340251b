#include "server/http/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;

constexpr const char* kStart = "POST /p HTTP/1.1\r\nHost: h\r\n";

int StatusOfHead(const std::string& text) {
  const auto head = ParseRequestHead(text, {});
  return head ? 200 : head.error().status;
}
int StatusOfFields(const std::string& fields) { return StatusOfHead(kStart + fields + "\r\n"); }

TEST(RequestHead, KeepsWhatItReads) {
  const auto head = ParseRequestHead(
      "POST /p?q=1 HTTP/1.1\r\nHost:h:80\r\ncontent-length:  12 \r\nX: a b\t\r\nEmpty:\r\n\r\n",
      {});
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->content_length, 12U);
  EXPECT_FALSE(head->chunked);
  EXPECT_EQ(
      head->text,
      "POST /p?q=1 HTTP/1.1\r\nHost: h:80\r\ncontent-length: 12\r\nX: a b\r\nEmpty: \r\n\r\n");
}

TEST(RequestHead, PercentSignsSurviveTheLibrarysDecoding) {
  const auto head = ParseRequestHead(std::string(kStart) + "X-Api-Key: a%41\r\n\r\n", {});
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_THAT(head->text, HasSubstr("X-Api-Key: a%2541\r\n"));
}

TEST(RequestHead, KnowsChunkedBodies) {
  const auto head =
      ParseRequestHead(std::string(kStart) + "Transfer-Encoding: Chunked\r\n\r\n", {});
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_TRUE(head->chunked);
}

TEST(RequestHead, RequestLinesAreExact) {
  const std::string host = "Host: h\r\n\r\n";
  EXPECT_EQ(StatusOfHead("GET / HTTP/1.1\r\n" + host), 200);
  EXPECT_EQ(StatusOfHead("GET / HTTP/1.0\r\n\r\n"), 200);
  for (const char* line :
       {"", "GET", "GET /", "GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET / / HTTP/1.1",
        " GET / HTTP/1.1", "G(T / HTTP/1.1", "GET / HTTP/2.0", "GET / http/1.1",
        "GET /\tx HTTP/1.1", "PRI * HTTP/2.0"}) {
    EXPECT_EQ(StatusOfHead(std::string(line) + "\r\n" + host), 400) << line;
  }
  for (const char* method : {"BREW", "get", "CONNECT", "TRACE"}) {
    EXPECT_EQ(StatusOfHead(std::string(method) + " / HTTP/1.1\r\n" + host), 405) << method;
  }
  EXPECT_EQ(StatusOfHead("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n" + host), 414);
}

TEST(RequestHead, ABodyHasOneLength) {
  EXPECT_EQ(StatusOfFields("Content-Length: 0\r\n"), 200);
  for (const char* fields :
       {"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n", "Content-Length: -1\r\n", "Content-Length: +1\r\n",
        "Content-Length: 0x10\r\n", "Content-Length: 1 2\r\n", "Content-Length:\r\n",
        "Content-Length: 1.0\r\n", "Content-Length: %31\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: \vchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_EQ(StatusOfFields(fields), 400) << fields;
  }
  EXPECT_EQ(StatusOfHead("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHead, ABodyBeyondTheLimitIsTooLarge) {
  for (const char* length :
       {"16777217", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"}) {
    EXPECT_EQ(StatusOfFields(std::string("Content-Length: ") + length + "\r\n"), 413) << length;
  }
  EXPECT_EQ(StatusOfFields("Content-Length: 16777216\r\n"), 200);
}

TEST(RequestHead, FieldsAreExact) {
  for (const char* fields :
       {"no colon\r\n", ": no name\r\n", "space : before\r\n", " folded: line\r\n",
        "X: a\r\n folded\r\n", "X: a\nY: b\r\n", "X: a\rb\r\n", "X\n", "Host: again\r\n"}) {
    EXPECT_EQ(StatusOfFields(fields), 400) << fields;
  }
  EXPECT_EQ(StatusOfFields(std::string("X: a\0b\r\n", 8)), 400);
  EXPECT_EQ(StatusOfHead("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOfFields("X: \xc3\xa9\r\n"), 200);
}

TEST(RequestHead, FieldsAreFewAndShort) {
  std::string fields;
  for (int i = 0; i < 99; ++i) fields += "X: 1\r\n";
  EXPECT_EQ(StatusOfFields(fields), 200);
  EXPECT_EQ(StatusOfFields(fields + "X: 1\r\n"), 431);
  EXPECT_EQ(StatusOfFields("X: " + std::string(9000, 'x') + "\r\n"), 431);
}

TEST(RequestHead, MessagesAreOneLine) {
  const auto head = ParseRequestHead(std::string(kStart) + "X: \x1b[2J\r\n\r\n", {});
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().message, R"(the request's head has a control character: 'X: \x1b[2J')");
}

}  // namespace
}  // namespace quern
