#include "server/api/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/api/api_request.h"

namespace quern {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

json Chat(const std::string& text) {
  return {{"messages", {{{"role", "user"}, {"content", text}}}}};
}

Router Auto() {
  Router router;
  router.name = "auto";
  router.default_model = "small";
  router.fallback = {"spare", "big"};
  return router;
}

RouteRule RuleTo(const std::string& model) {
  RouteRule rule;
  rule.name = "to-" + model;
  rule.model = model;
  return rule;
}

ModelRequest RequestFor(const std::string& model, const json& body) {
  ModelRequest request = ParseChatRequest(body).value();
  request.model = model;
  return request;
}

Route Decide(const Router& router, const json& body, std::string_view key = "") {
  return Routers::Create({router}, "").value().Decide(RequestFor("auto", body), key);
}

TEST(Router, WithoutARuleItIsTheDefault) {
  const Route route = Decide(Auto(), Chat("a"));
  EXPECT_EQ(route.router, "auto");
  EXPECT_EQ(route.rule, "default");
  EXPECT_THAT(route.models, ElementsAre("small", "spare", "big"));
}

TEST(Router, TheFirstRuleThatHoldsDecides) {
  Router router = Auto();
  router.rules = {RuleTo("big"), RuleTo("other")};
  router.rules[0].min_prompt_bytes = 11;  // the text and its line's end
  EXPECT_EQ(Decide(router, Chat("0123456789")).rule, "to-big");
  EXPECT_EQ(Decide(router, Chat("012345678")).rule, "to-other");
  // The model chosen is not tried again.
  EXPECT_THAT(Decide(router, Chat("0123456789")).models, ElementsAre("big", "spare"));
}

TEST(Router, EveryConditionMustHold) {
  Router router = Auto();
  router.rules = {RuleTo("big")};
  RouteRule& rule = router.rules[0];
  rule.max_prompt_bytes = 20;
  rule.keys = {"alice", "bob"};
  rule.tools = true;
  rule.images = false;
  rule.pattern = Pattern::Compile("(?i)prove").value();
  json body = Chat("Prove it");
  body["tools"] = {{{"type", "function"}}};
  EXPECT_EQ(Decide(router, body, "bob").rule, "to-big");
  EXPECT_EQ(Decide(router, body, "eve").rule, "default");
  EXPECT_EQ(Decide(router, Chat("Prove it"), "bob").rule, "default");
  json other = body;
  other["messages"][0]["content"] = "Probe it";
  EXPECT_EQ(Decide(router, other, "bob").rule, "default");
  other["messages"][0]["content"] = "Prove it, and then more";
  EXPECT_EQ(Decide(router, other, "bob").rule, "default");
  other["messages"][0]["content"] = json::parse(
      R"([{"type": "text", "text": "Prove it"}, {"type": "image_url", "image_url": {"url": "x"}}])");
  EXPECT_EQ(Decide(router, other, "bob").rule, "default");
  rule.images = true;
  EXPECT_EQ(Decide(router, other, "bob").rule, "to-big");
}

TEST(Router, OtherNamesAreModels) {
  const Routers routers = Routers::Create({Auto()}, "auto").value();
  const Route named = routers.Decide(RequestFor("big", Chat("a")), "");
  EXPECT_EQ(named.router, "");
  EXPECT_THAT(named.models, ElementsAre("big"));
  EXPECT_EQ(routers.Decide(RequestFor("", Chat("a")), "").router, "auto");
  EXPECT_THAT(Routers().Decide(ModelRequest(), "").models, ElementsAre(""));
}

TEST(Router, ANameIsTakenOnce) {
  const auto routers = Routers::Create({Auto(), Auto()}, "");
  ASSERT_FALSE(routers);
  EXPECT_EQ(routers.error().message, "two routers are called 'auto'");
}

}  // namespace
}  // namespace quern
