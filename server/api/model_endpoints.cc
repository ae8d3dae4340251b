#include "server/api/model_endpoints.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gguf/base/base64.h"
#include "gguf/base/utf8.h"
#include "server/api/json_fields.h"

namespace quern {
namespace {

using nlohmann::json;

/// A token's bytes as text where they are that, else as numbers.
Json PieceJson(const std::string& piece) {
  return IsValidUtf8(piece) ? Json(piece) : BytesJson(piece);
}

/// The text of a control token, "" where there is none.
std::string TokenText(const Tokenizer& tokenizer, std::optional<Token> token) {
  return token ? tokenizer.Piece(*token, /*render_special=*/true) : "";
}

}  // namespace

Json ModelsJson(std::span<const ModelStatus> models, std::span<const Router> routers) {
  Json data = Json::array();
  for (const ModelStatus& model : models) {
    const ModelInfo& info = model.info;
    data.push_back({{"id", info.id},
                    {"object", "model"},
                    {"created", info.created},
                    {"owned_by", "me"},
                    {"permissions", Json::array()},
                    {"aliases", model.aliases},
                    {"status", {{"value", NameOf(model.state)}}},
                    {"meta",
                     {{"n_ctx", info.n_ctx},
                      {"n_ctx_train", info.n_ctx_train},
                      {"n_vocab", info.n_vocab},
                      {"n_embd", info.n_embd},
                      {"n_params", info.n_params},
                      {"size", info.weight_bytes}}}});
  }
  for (const Router& router : routers) {
    Json stands_for = Json::array();
    for (const std::string& model : router.Models()) stands_for.push_back(model);
    data.push_back({{"id", router.name},
                    {"object", "model"},
                    {"created", 0},
                    {"owned_by", "me"},
                    {"routes_to", std::move(stands_for)}});
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

Json PropsJson(const Model& model, const ModelInfo& info, const SamplingParams& sampling,
               std::string_view version) {
  const Tokenizer& tokenizer = model.tokenizer();
  const ChatTemplate* chat_template = model.chat_template();
  return {
      {"default_generation_settings", {{"n_ctx", info.n_ctx}, {"params", SamplingJson(sampling)}}},
      {"total_slots", info.n_slots},
      {"model_alias", info.id},
      {"model_path", info.path},
      {"modalities", {{"vision", false}, {"audio", false}}},
      {"chat_template", chat_template != nullptr ? chat_template->source() : ""},
      {"bos_token", TokenText(tokenizer, tokenizer.bos())},
      {"eos_token", TokenText(tokenizer, tokenizer.eos())},
      {"build_info", version}};
}

Json SlotsJson(const EngineStatus& status, const ModelInfo& info) {
  Json slots = Json::array();
  const size_t n = std::max(info.n_slots, status.requests.size());
  for (size_t i = 0; i < n; ++i) {
    Json slot = {{"id", i}, {"n_ctx", info.n_ctx}, {"is_processing", false}};
    if (i < status.requests.size()) {
      const RequestStatus& request = status.requests[i];
      const bool waits = request.phase == RequestPhase::kWaiting;
      slot["is_processing"] = true;
      slot["state"] = waits                                     ? "waiting"
                      : request.phase == RequestPhase::kPrefill ? "prefill"
                                                                : "decode";
      slot["id_task"] = request.id;
      slot["n_prompt_tokens"] = request.prompt_tokens;
      slot["n_prompt_tokens_cache"] = request.cached_tokens;
      slot["n_prompt_tokens_processed"] = std::min(request.processed_tokens, request.prompt_tokens);
      slot["n_decoded"] = request.generated_tokens;
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

Result<Json> Tokenize(const Model& model, const json& body) {
  JsonFields fields(body);
  std::string content;
  EncodeOptions options{.add_special = false, .parse_special = true};
  bool with_pieces = false;
  fields.Text("content", &content);
  fields.Bool("add_special", &options.add_special);
  fields.Bool("parse_special", &options.parse_special);
  fields.Bool("with_pieces", &with_pieces);
  if (!fields.Has("content")) fields.Fail("content", nullptr, "a text");
  if (!fields.status()) return tl::unexpected(fields.status().error());
  Json tokens = Json::array();
  for (const Token token : model.tokenizer().Encode(content, options)) {
    if (with_pieces) {
      tokens.push_back({{"id", token}, {"piece", PieceJson(model.tokenizer().Piece(token, true))}});
    } else {
      tokens.push_back(token);
    }
  }
  return Json{{"tokens", std::move(tokens)}};
}

Result<Json> Detokenize(const Model& model, const json& body) {
  JsonFields fields(body);
  const json& list = fields.Get("tokens");
  const auto n_vocab = static_cast<int64_t>(model.hparams().n_vocab);
  const bool valid = list.is_array() && std::all_of(list.begin(), list.end(), [&](const json& id) {
                       return id.is_number_integer() && id >= 0 && id < n_vocab;
                     });
  if (!valid) {
    fields.Fail("tokens", list, fmt::format("a list of token ids from 0 to {}", n_vocab - 1));
    return tl::unexpected(fields.status().error());
  }
  return Json{{"content", model.tokenizer().Decode(list.get<std::vector<Token>>(), true)}};
}

Result<Json> ApplyTemplate(const Model& model, const json& body) {
  Result<Conversation> messages = ParseMessages(JsonFields(body).Get("messages"));
  if (!messages) return Propagate(messages);
  Result<std::string> prompt = model.RenderChat(*messages);
  if (!prompt) return Propagate(prompt);
  return Json{{"prompt", *std::move(prompt)}};
}

Result<std::vector<Token>> Encode(const Model& model, const ApiPrompt& prompt) {
  if (const auto* messages = std::get_if<Conversation>(&prompt)) return model.EncodeChat(*messages);
  std::vector<Token> tokens;
  const auto& pieces = std::get<MixedPrompt>(prompt);
  for (const auto& piece : pieces) {
    if (const auto* given = std::get_if<std::vector<Token>>(&piece)) {
      tokens.insert(tokens.end(), given->begin(), given->end());
      continue;
    }
    // BOS stands before a text that begins the prompt.
    const auto& text = std::get<std::string>(piece);
    const std::vector<Token> encoded =
        tokens.empty()
            ? model.EncodePrompt(text)
            : model.tokenizer().Encode(text, {.add_special = false, .parse_special = true});
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
  }
  return tokens;
}

Result<EmbeddingRequest> ParseEmbeddingRequest(const json& body) {
  JsonFields fields(body);
  if (fields.Has("dimensions")) {
    return Fail(ErrorCode::kUnsupported, "'dimensions' is not supported");
  }
  EmbeddingRequest request;
  std::string format = "float";
  fields.Text("encoding_format", &format);
  if (format != "float" && format != "base64") {
    fields.Fail("encoding_format", format, "\"float\" or \"base64\"");
  }
  request.base64 = format == "base64";
  const json& input = fields.Get("input");
  if (input.is_string() && input.get_ref<const std::string&>().empty())
    fields.Fail("input", input, "a text that is not empty");
  if (!fields.status()) return tl::unexpected(fields.status().error());
  Result<std::vector<ApiPrompt>> inputs = ParsePrompts("input", input, /*mixed=*/false);
  if (!inputs) return Propagate(inputs);
  request.inputs = *std::move(inputs);
  return request;
}

Json EmbeddingsJson(const ModelInfo& info, const EmbeddingRequest& request,
                    std::span<const Answer> answers) {
  Json data = Json::array();
  size_t n_tokens = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::vector<float>& embedding = answers[i].embedding;
    n_tokens += answers[i].stats.prompt_tokens;
    Json entry = {{"object", "embedding"}, {"index", i}};
    if (request.base64) {
      // Clients take the bytes for little-endian floats, as every machine that Quern runs on has
      // them.
      std::string bytes(embedding.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), embedding.data(), bytes.size());
      entry["embedding"] = Base64(bytes);
    } else {
      entry["embedding"] = embedding;
    }
    data.push_back(std::move(entry));
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", info.id},
          {"usage", {{"prompt_tokens", n_tokens}, {"total_tokens", n_tokens}}}};
}

}  // namespace quern
