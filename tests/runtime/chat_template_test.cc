#include "runtime/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/peer/peer.h"
#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::VocabularyFile;

const std::vector<ChatMessage> kConversation = {
    {"system", "You are brief."}, {"user", " Hi there "}, {"assistant", "Hello."}, {"user", "Bye"}};

ChatTemplate Parse(std::string_view source) {
  auto parsed = ChatTemplate::Parse(source, "<|begin_of_text|>", "<|eot_id|>");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

std::string Render(std::string_view source, const std::vector<ChatMessage>& messages = {},
                   bool add_generation_prompt = false) {
  auto text = Parse(source).Render(messages, add_generation_prompt);
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

std::string ErrorOf(std::string_view source) {
  auto parsed = ChatTemplate::Parse(source, "", "");
  if (!parsed) return parsed.error().message;
  auto text = parsed->Render(kConversation, true);
  EXPECT_FALSE(text) << *text;
  if (text) return "";
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
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
  QUERN_SKIP_WITHOUT_PEER();
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
  QUERN_SKIP_WITHOUT_PEER();
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
  QUERN_SKIP_WITHOUT_PEER();
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
  EXPECT_EQ(loaded->source(), "{{ bos_token }}x{{ eos_token }}");
  EXPECT_EQ(loaded->Render({}, false).value(), "<s>x</s>");

  VocabularyFile without("llama");
  EXPECT_EQ(ChatTemplate::Load(without.Add("a").file()).error().code, ErrorCode::kNotFound);
  VocabularyFile broken("llama");
  broken.Add("a").writer().SetString("tokenizer.chat_template", "{% if %}");
  auto error = ChatTemplate::Load(broken.file());
  ASSERT_FALSE(error);
  EXPECT_THAT(error.error().message, HasSubstr("test.gguf: tokenizer.chat_template"));
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

std::string Repeat(std::string_view text, size_t n) {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += text;
  return all;
}

TEST(ChatTemplate, HostileSourcesAreRefusedBeforeTheParser) {
  EXPECT_THAT(ErrorOf(std::string(100000, 'x')), HasSubstr("100000 bytes"));
  EXPECT_THAT(ErrorOf("{{" + std::string(1000, '(')), HasSubstr("nests deeper"));
  EXPECT_THAT(ErrorOf("{{" + Repeat("[{'a':", 500)), HasSubstr("nests deeper"));
  EXPECT_THAT(ErrorOf("{{" + Repeat("not ", 10000) + "1 }}"), HasSubstr("4096 characters"));
  EXPECT_THAT(ErrorOf(Repeat("{%- if 1 %}", 1000)), HasSubstr("nests deeper"));
}

TEST(ChatTemplate, LongCommentsAreRefused) {
  EXPECT_THAT(ErrorOf("{#" + std::string(60000, 'x') + "#}"), HasSubstr("4096 characters"));
}

TEST(ChatTemplate, WhatIsJustAllowedFitsTheStack) {
  EXPECT_EQ(Render("{{" + Repeat("not ", 1000) + "false }}"), "False");
  EXPECT_EQ(Render("{{" + Repeat("(", 60) + "1" + Repeat(")", 60) + "}}"), "1");
  EXPECT_EQ(Render(Repeat("{% if 1 %}", 60) + "x" + Repeat("{% endif %}", 60)), "x");
  Render("{{ 1" + Repeat(" if 1 else 0", 330) + "}}");
  EXPECT_EQ(Render("{#" + std::string(4000, 'x') + "#}y"), "y");
  EXPECT_EQ(Render(std::string(60000, 'x')).size(), 60000U);
  Render("{{ '" + std::string(60000, 'x') + "' }}");
}

TEST(ChatTemplate, RunawayTemplatesAreStopped) {
  EXPECT_THAT(ErrorOf("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("calls itself"));
  EXPECT_THAT(ErrorOf("{% for i in range(1000000000) %}x{% endfor %}"),
              HasSubstr("come to an end"));
  EXPECT_THAT(
      ErrorOf("{% for i in range(2000) %}{% for j in range(2000) %}{% endfor %}{% endfor %}"),
      HasSubstr("come to an end"));
  EXPECT_EQ(Render("{% for i in range(3) %}{{ i }}{% endfor %}"), "012");
}

}  // namespace
}  // namespace quern
