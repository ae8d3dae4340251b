// libFuzzer target of the request parsers: any body gives a request or an error, in one way. The
// input's first byte is the kind of request, the rest its body.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "gguf/base/parse_json.h"
#include "gguf/base/printable.h"
#include "server/api/api_request.h"
#include "server/http_reply.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace quern {
namespace {

/// Of all kinds, with every field, for mutation to start from.
constexpr std::string_view kSeed =
    R"(0{"model":"m","prompt":[1,2],"messages":[{"role":"user","content":[{"type":"text","text":"a\u00e9"}]},)"
    R"({"role":"assistant","content":"b"}],"max_tokens":9,"max_completion_tokens":8,"n":1,)"
    R"("stop":["x","y"],"stream":true,"stream_options":{"include_usage":true},"seed":7,)"
    R"("temperature":0.5,"top_k":4,"top_p":0.9,"min_p":0.1,"typical_p":1,"repeat_last_n":-1,)"
    R"("repeat_penalty":1.1,"presence_penalty":-1,"frequency_penalty":2e0,"ignore_eos":false,)"
    R"("logit_bias":{"5":-100},"logprobs":null,"tools":[],"response_format":{"type":"text"}})";

void Require(bool condition) {
  if (!condition) std::abort();
}

void RequireMessage(const Error& error) {
  Require(!error.message.empty());
  Require(error.message.size() < 1000);
}

void TestBody(ApiKind kind, std::string_view body) {
  const Result<nlohmann::json> json = ParseJsonObject(body);
  if (!json) {
    RequireMessage(json.error());
    std::string message = json.error().message;
    std::erase(message, '\\');
    Require(Printable(message, message.size()) == message);
    return;
  }
  const Result<ApiRequest> request = ParseApiRequest(kind, *json);
  if (!request) {
    RequireMessage(request.error());
    const int status = HttpErrorOf(request.error()).status;
    Require(status >= 400 && status < 500);
    return;
  }
  Require(!request->prompts.empty());
  for (const ApiPrompt& prompt : request->prompts) {
    Require(std::holds_alternative<Conversation>(prompt) == (kind == ApiKind::kChat));
  }
  if (request->unsupported) RequireMessage(*request->unsupported);
  Require(request->response.n >= 1 && request->response.n <= 128);
  Require(request->Generate({}).stop.size() <= 16);
}

}  // namespace
}  // namespace quern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  quern::TestBody(static_cast<quern::ApiKind>(data[0] % 3), body);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int /*seed*/) {
  constexpr size_t kLeastBytes = 2;
  if (size < kLeastBytes) {
    size = std::min(quern::kSeed.size(), max_size);
    std::memcpy(data, quern::kSeed.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
