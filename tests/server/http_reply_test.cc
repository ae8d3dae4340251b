#include "server/http_reply.h"

#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

TEST(HttpReply, Json) {
  const HttpReply reply = JsonReply({{"a", "\xff"}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(std::get<std::string>(reply.body), "{\"a\":\"\xef\xbf\xbd\"}");
}

TEST(HttpReply, ErrorsSayWhatToDo) {
  const HttpReply busy = ErrorReply({.status = 429, .message = "full", .retry_after = 7});
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.headers.Get("Retry-After"), "7");
  EXPECT_EQ(std::get<std::string>(busy.body),
            R"({"error":{"message":"full","type":"rate_limit_error","code":429}})");
  EXPECT_EQ(ErrorReply({401, "who?"}).headers.Get("WWW-Authenticate"), "Bearer");
  const HttpReply bad = ErrorReply({400, "no"});
  EXPECT_FALSE(bad.headers.Has("Retry-After") || bad.headers.Has("WWW-Authenticate"));
}

TEST(HttpReply, ErrorsOfOursHaveAStatus) {
  EXPECT_EQ(HttpErrorOf({ErrorCode::kNotFound, ""}).status, 404);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kInvalidArgument, ""}).status, 400);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kContextExceeded, ""}).status, 400);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kUnsupported, ""}).status, 400);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kCancelled, ""}).status, 503);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kIo, "why"}).status, 500);
  EXPECT_EQ(HttpErrorOf({ErrorCode::kIo, "why"}).message, "why");
}

}  // namespace
}  // namespace quern
