#include "tools/serve/models_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string ErrorOf(const std::string& text) {
  const Result<ModelList> list = ParseModels(text, "dir/m.toml", {});
  return list ? "no error" : list.error().message;
}

TEST(ModelsFile, ReadsModelsAndRouters) {
  ServedModelOptions base;
  base.engine.n_threads = 3;
  const Result<ModelList> list = ParseModels(R"(
default = "auto"

[models.zebra]
path = "z.gguf"
aliases = ["gpt-4o", "other"]
ctx_size = 512
cache-type-k = "q8_0"
temp = 0.5
load = "mmap"

[models.ape]
hub = "org/repo"
threads = 2
preload = true

[routers.auto]
default = "zebra"
fallback = ["gpt-4o", "ape"]

[[routers.auto.rules]]
model = "ape"
min_prompt_bytes = 10
max-prompt-bytes = 20
keys = ["alice"]
images = false
tools = true
pattern = 'a+'

[[routers.auto.rules]]
name = "last"
model = "zebra"
)",
                                             "dir/m.toml", base);
  ASSERT_TRUE(list) << list.error().message;
  ASSERT_EQ(list->models.size(), 2U);
  const ServedModelOptions& zebra = list->models[0];
  EXPECT_EQ(zebra.id, "zebra");
  EXPECT_THAT(zebra.aliases, ElementsAre("gpt-4o", "other"));
  EXPECT_EQ(zebra.n_ctx, 512U);
  EXPECT_EQ(zebra.engine.n_threads, 3);
  EXPECT_EQ(zebra.cache_type.types().k, KvType::kQ8);
  EXPECT_EQ(zebra.sampling.Over({})->temperature, 0.5F);
  EXPECT_EQ(zebra.load_mode, LoadMode::kMmap);
  EXPECT_FALSE(zebra.preload);
  EXPECT_EQ(list->models[1].id, "ape");
  EXPECT_EQ(list->models[1].engine.n_threads, 2);
  EXPECT_TRUE(list->models[1].preload);
  EXPECT_EQ(list->models[1].n_ctx, std::nullopt);
  EXPECT_EQ(list->default_name, "auto");

  ASSERT_EQ(list->routers.size(), 1U);
  const Router& router = list->routers[0];
  EXPECT_EQ(router.default_model, "zebra");
  EXPECT_THAT(router.fallback, ElementsAre("gpt-4o", "ape"));
  ASSERT_EQ(router.rules.size(), 2U);
  const RouteRule& rule = router.rules[0];
  EXPECT_EQ(rule.name, "rule-1");
  EXPECT_EQ(rule.model, "ape");
  EXPECT_EQ(rule.min_prompt_bytes, 10U);
  EXPECT_EQ(rule.max_prompt_bytes, 20U);
  EXPECT_THAT(rule.keys, ElementsAre("alice"));
  EXPECT_EQ(rule.images, false);
  EXPECT_EQ(rule.tools, true);
  EXPECT_TRUE(rule.pattern);
  EXPECT_EQ(router.rules[1].name, "last");
}

TEST(ModelsFile, ErrorsNameFileAndLine) {
  const std::string model = "[models.a]\npath = 'a'\n";
  const std::string router = model + "[routers.r]\n";
  const std::string rule = router + "default = 'a'\n[[routers.r.rules]]\nmodel = 'a'\n";
  const auto at = [](int line, const std::string& what) {
    return "dir/m.toml, line " + std::to_string(line) + ": " + what;
  };
  EXPECT_EQ(ErrorOf(""), "dir/m.toml: no section [models.NAME]");
  EXPECT_THAT(ErrorOf("[models.a\n"), StartsWith("dir/m.toml, line 1: "));
  // toml++ has an assertion against each.
  for (const char* text : {"[[[a]]]", "[[[]]", "[[=", "[\x01", "[ \x01.a]\npath = 'a'\n"}) {
    EXPECT_THAT(ErrorOf(text), StartsWith("dir/m.toml, line 1: ")) << text;
  }
  EXPECT_EQ(ErrorOf("\nport = 1\n"),
            at(2, "unknown key 'port', expected models, routers or default"));
  EXPECT_EQ(ErrorOf("models = 1\n"), at(1, "expected sections [models.NAME]"));
  EXPECT_EQ(ErrorOf("models.a = 1\n"), at(1, "expected a section [models.a]"));
  EXPECT_EQ(ErrorOf("[models.'a b']\npath = 'a'\n"),
            at(1, "'a b' is no name, expected up to 100 visible characters"));
  EXPECT_EQ(ErrorOf("[models.a]\n"), at(1, "the model 'a' has no path and no hub"));
  EXPECT_EQ(ErrorOf("[models.a]\npath = 5\n"), at(2, "'path' must be a text"));
  EXPECT_EQ(ErrorOf(model + "aliases = 'x'\n"), at(3, "'aliases' must be a list of texts"));
  EXPECT_EQ(ErrorOf(model + "preload = 1\n"), at(3, "'preload' must be true or false"));
  for (const char* key : {"port", "model", "help", "t"}) {
    EXPECT_EQ(
        ErrorOf(model + key + " = 1\n"),
        at(3,
           std::string("unknown key '") + key +
               "': a model has path, hub, aliases, preload, and options of quern serve as keys"));
  }
  // CLI11 names the range, each version in its own way.
  EXPECT_THAT(ErrorOf(model + "threads = 0\n"),
              StartsWith(at(3, "--threads: Value 0 not in range ")));
  EXPECT_EQ(ErrorOf(model + "threads = { x = 1 }\n"),
            at(3, "'threads' must be a text, a number, true or false"));
  EXPECT_EQ(ErrorOf(router), at(3, "the router 'r' has no default"));
  EXPECT_EQ(ErrorOf(router + "default = 'b'\n"),
            at(3, "the router r names 'b', which is no model"));
  EXPECT_EQ(ErrorOf(router + "defaults = 'b'\n"),
            at(4, "unknown key 'defaults': a router has default, fallback and rules"));
  EXPECT_EQ(ErrorOf(model + "[routers.a]\ndefault = 'a'\n"), at(3, "there is a model 'a' too"));
  EXPECT_EQ(ErrorOf(model + "[models.c]\npath = 'c'\naliases = ['a']\n"),
            at(3, "two models are called 'a'"));
  EXPECT_EQ(ErrorOf("default = 'c'\n" + model),
            at(1, "the default is 'c', which is no model and no router"));
  EXPECT_EQ(ErrorOf(rule + "key = 'x'\n"),
            at(7,
               "unknown key 'key': a rule has name, model, min-prompt-bytes, max-prompt-bytes, "
               "keys, images, tools and pattern"));
  EXPECT_EQ(ErrorOf(rule + "min-prompt-bytes = -1\n"),
            at(7, "'min-prompt-bytes' must be a whole number"));
  EXPECT_THAT(ErrorOf(rule + "pattern = '('\n"),
              StartsWith("dir/m.toml, line 7: '(' is no pattern, at its byte 1"));
  EXPECT_EQ(ErrorOf(rule), "no error");
}

TEST(ModelsFile, ErrorsAreOnePrintableLine) {
  const std::string model = "[models.a]\npath = 'a'\n";
  EXPECT_THAT(ErrorOf("default = 1\u202e\n"),
              AllOf(StartsWith("dir/m.toml, line 1: "), HasSubstr("\\xe2\\x80\\xae")));
  // In CLI11's words for a number, for one of several words, and for two values in place of one.
  EXPECT_THAT(ErrorOf(model + "threads = \"\\u0001\\n\"\n"),
              AllOf(StartsWith("dir/m.toml, line 3: "), HasSubstr("\\x01\\n")));
  EXPECT_THAT(ErrorOf(model + "load = \"\\u202e\"\n"),
              AllOf(StartsWith("dir/m.toml, line 3: "), HasSubstr("\\xe2\\x80\\xae")));
  EXPECT_THAT(ErrorOf(model + "threads = ['1', \"\\t\"]\n"),
              AllOf(StartsWith("dir/m.toml, line 3: "), HasSubstr("\\t")));
  EXPECT_THAT(ErrorOf(model + "load = '" + std::string(5000, 'x') + "'\n"), SizeIs(Lt(530U)));
}

TEST(ModelsFile, ListsAFolder) {
  const testing::TempDir dir;
  for (const char* name : {"b.gguf", "a.gguf", "c.txt", "s-00001-of-00002.gguf",
                           "s-00002-of-00002.gguf", "with space.gguf"}) {
    testing::WriteFile(dir.File(name), "x");
  }
  const Result<ModelList> list = ListModelsFolder(dir.path(), {});
  ASSERT_TRUE(list);
  std::vector<std::string> ids;
  for (const ServedModelOptions& model : list->models) ids.push_back(model.id);
  EXPECT_THAT(ids, ElementsAre("a", "b", "s"));
  EXPECT_FALSE(list->models[0].preload);
  EXPECT_FALSE(ListModelsFolder(dir.File("nothing"), {}));
}

}  // namespace
}  // namespace quern
