#include "runtime/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/peer/peer.h"
#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::VocabularyFile;

const std::vector<ChatMessage> kConversation = {
    {"system", "You are brief."}, {"user", " Hi there "}, {"assistant", "Hello."}, {"user", "Bye"}};

ChatTemplate Parse(const std::string& source) {
  auto parsed = ChatTemplate::Parse(source, "<|begin_of_text|>", "<|eot_id|>");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

std::string Render(const std::string& source, const std::vector<ChatMessage>& messages = {},
                   bool add_generation_prompt = false) {
  auto text = Parse(source).Render(messages, add_generation_prompt);
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

std::string ErrorOf(const std::string& source) {
  auto parsed = ChatTemplate::Parse(source, "", "", {.cpu_time = std::chrono::milliseconds(300)});
  if (!parsed) return parsed.error().message;
  auto text = parsed->Render(kConversation, true);
  EXPECT_FALSE(text) << *text;
  if (text) return "";
  return text.error().message;
}

/// A template of llama.cpp's collection, as its model's authors published it.
std::string Published(const std::string& name) {
  std::ifstream in(peer::ModelsFile("templates/" + name + ".jinja"), std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(ChatTemplate, TheDemoModelsForm) {
  const std::string source =
      "{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + "
      "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
      "{%- if add_generation_prompt %}"
      "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}";
  EXPECT_EQ(Render(source, {{"user", " Hi "}}, true),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Render(source), "<|begin_of_text|>");
}

TEST(ChatTemplate, Llama31) {
  QUERN_SKIP_WITHOUT_MODELS_FILES();
  const std::string source = Published("meta-llama-Llama-3.1-8B-Instruct");
  EXPECT_EQ(Render(source, kConversation, true),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
            "You are brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Render(source, {{"user", "Hi"}}, false),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>");
}

TEST(ChatTemplate, Llama32TellsTheDate) {
  QUERN_SKIP_WITHOUT_MODELS_FILES();
  const ChatTemplate llama = Parse(Published("meta-llama-Llama-3.2-3B-Instruct"));
  const auto noon_of_2025_03_09 = ChatTemplate::Time(std::chrono::seconds(1741521600));
  auto text = llama.Render(std::vector<ChatMessage>{{"user", "Hi"}}, true, noon_of_2025_03_09);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text,
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            "Cutting Knowledge Date: December 2023\nToday Date: 09 Mar 2025\n\n<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(ChatTemplate, Qwen25) {
  QUERN_SKIP_WITHOUT_MODELS_FILES();
  const std::string source = Published("Qwen-Qwen2.5-7B-Instruct");
  EXPECT_EQ(Render(source, {{"user", "Hi"}}, true),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
            "assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Render(source, kConversation, false),
            "<|im_start|>system\nYou are brief.<|im_end|>\n<|im_start|>user\n Hi there <|im_end|>\n"
            "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n");
}

TEST(ChatTemplate, OfAFile) {
  VocabularyFile file("llama");
  file.Add("<unk>").Add("<s>").Add("</s>");
  file.writer().SetString("tokenizer.chat_template", "{{ bos_token }}x{{ eos_token }}");
  file.writer().SetUint32("tokenizer.ggml.bos_token_id", 1);
  file.writer().SetUint32("tokenizer.ggml.eos_token_id", 2);
  auto loaded = ChatTemplate::Load(file.file());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->Render({}, false).value(), "<s>x</s>");
  loaded = ChatTemplate::Load(file.file(), "{{ bos_token }}mine");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->Render({}, true).value(), "<s>mine");

  VocabularyFile without("llama");
  EXPECT_EQ(ChatTemplate::Load(without.Add("a").file()).error().code, ErrorCode::kNotFound);
  VocabularyFile broken("llama");
  broken.Add("a").writer().SetString("tokenizer.chat_template", "{% if %}");
  EXPECT_EQ(ChatTemplate::Load(broken.file(), "{{").error().code, ErrorCode::kUnsupported)
      << "one that was asked for is parsed at once";
  loaded = ChatTemplate::Load(broken.file());
  ASSERT_TRUE(loaded) << "only rendering needs a template that parses";
  auto text = loaded->Render({}, false);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(text.error().message, StartsWith("test.gguf: tokenizer.chat_template: "));
}

TEST(ChatTemplate, ErrorsAreOneLineWithTheTemplatesOwnMessage) {
  EXPECT_EQ(ErrorOf("{{ raise_exception('Roles must alternate') }}"),
            "chat template: Roles must alternate");
  for (const char* source :
       {"{% for %}", "{{ 1 + }}", "{% endif %}", "{{ messages[0].x.y }}", "{{"}) {
    const std::string message = ErrorOf(source);
    EXPECT_FALSE(message.empty()) << source;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(ChatTemplate, ContentIsNotATemplate) {
  EXPECT_EQ(Render("{{ messages[0].content }}", {{"user", "{{ 1 + 1 }}\xff"}}), "{{ 1 + 1 }}\xff");
}

/// Every one of these would crash, hang or exhaust a process that ran it.
TEST(ChatTemplate, HostileTemplatesAreErrors) {
  const std::string spaces(1000000, ' ');
  const std::string nested = "{% for i in range(1000000) %}{% set ns.a = [ns.a] %}{% endfor %}";
  for (const std::string& source : std::vector<std::string>{
           "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ (-9223372036854775807 - 1) // -1 }}",
           "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
           "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
           "{% set ns = namespace(a=1) %}" + nested + "{{ ns.a }}",
           "x" + spaces + "{%- if 1 %}{% endif %}", "{{" + std::string(200000, '(')}) {
    const std::string message = ErrorOf(source);
    EXPECT_THAT(message, StartsWith("chat template: ")) << source.substr(0, 100);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(ChatTemplate, RunawayTemplatesAreStopped) {
  for (const char* source :
       {"{% set l = [1,2,3,4,5,6,7,8,9,0] %}{% for a in l %}{% for b in l %}{% for c in l %}"
        "{% for d in l %}{% for e in l %}{% for f in l %}{% for g in l %}{% for h in l %}"
        "{% for i in l %}{% for j in l %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
        "{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ [1] | tojson(indent=1000000000) }}", "{{ 'x' * 1000000000000 }}",
        "{% set ns = namespace(s='xx') %}"
        "{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"}) {
    EXPECT_THAT(ErrorOf(source), AnyOf(HasSubstr("come to an end"), HasSubstr("of memory")))
        << source;
  }
}

/// minja keeps a loop's own functions beyond their loop: what they do then is undefined, and here
/// it must not be more than a wrong text or an error.
TEST(ChatTemplate, ALoopsFunctionAfterTheLoopDoesNoHarm) {
  auto parsed = ChatTemplate::Parse(
      "{% set ns = namespace() %}{% for i in [1, 2] %}{% set ns.f = loop.cycle %}{% endfor %}"
      "{{ ns.f(1, 2) }}",
      "", "");
  ASSERT_TRUE(parsed) << parsed.error().message;
  static_cast<void>(parsed->Render(kConversation, true));
  SUCCEED();
}

TEST(ChatTemplate, GoesOnAfterAnError) {
  const ChatTemplate parsed =
      Parse("{% if messages %}{{ 1 // 0 }}{% else %}{{ bos_token }}{% endif %}");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(parsed.Render({}, false).value_or(""), "<|begin_of_text|>");
    EXPECT_FALSE(parsed.Render(kConversation, false));
  }
}

TEST(ChatTemplate, RendersForManyThreads) {
  const ChatTemplate parsed = Parse("{{ messages[0].content }}");
  std::vector<std::thread> threads;
  std::vector<std::string> texts(8);
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::vector<ChatMessage> messages = {{"user", std::to_string(i)}};
      texts[i] = parsed.Render(messages, false).value_or("");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], std::to_string(i));
}

TEST(ChatTemplate, LongTextsPass) {
  EXPECT_EQ(Render(std::string(60000, 'x')).size(), 60000U);
  EXPECT_EQ(Render("{{ messages[0].content }}", {{"user", std::string(3 << 20, 'x')}}).size(),
            size_t{3} << 20);
}

}  // namespace
}  // namespace quern
