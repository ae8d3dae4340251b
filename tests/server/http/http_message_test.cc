#include "server/http/http_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::vector<HttpHeaders::Field> FieldsOf(const HttpHeaders& headers) {
  return {headers.begin(), headers.end()};
}

TEST(HttpHeaders, NamesAreAlikeInAnyCase) {
  HttpHeaders headers = {{"Accept", "a"}, {"X-One", "1"}};
  headers.Add("accept", "b");
  EXPECT_EQ(headers.Get("ACCEPT"), "a");
  EXPECT_EQ(headers.Count("Accept"), 2U);
  EXPECT_THAT(headers.All("aCCept"), ElementsAre("a", "b"));
  EXPECT_FALSE(headers.Has("Accep"));
  EXPECT_EQ(headers.Get("Accep"), "");
  EXPECT_THAT(headers.All("Accep"), IsEmpty());
  headers.Erase("ACCEPT");
  EXPECT_THAT(FieldsOf(headers), ElementsAre(Pair("X-One", "1")));
}

TEST(HttpHeaders, TakesOthersBehindItsOwn) {
  HttpHeaders headers = {{"A", "1"}};
  headers.Add(HttpHeaders{{"B", "2"}, {"A", "3"}});
  EXPECT_THAT(FieldsOf(headers), ElementsAre(Pair("A", "1"), Pair("B", "2"), Pair("A", "3")));
}

TEST(HttpRequest, ParametersOfTheQuery) {
  HttpRequest request;
  request.parameters = {{"model", "a"}, {"flag", ""}};
  EXPECT_EQ(request.Parameter("model"), "a");
  EXPECT_TRUE(request.HasParameter("flag"));
  EXPECT_FALSE(request.HasParameter("other"));
  EXPECT_EQ(request.Parameter("other"), "");
  EXPECT_FALSE(request.is_connection_closed());
}

}  // namespace
}  // namespace quern
