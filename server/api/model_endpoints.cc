#include "server/api/model_endpoints.h"

#include <algorithm>
#include <utility>

#include "gguf/base/utf8.h"
#include "server/api/json_fields.h"
#include "server/api/parse_prompts.h"

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

Result<TokenizeRequest> ParseTokenizeRequest(const json& body) {
  TokenizeRequest request;
  if (Status status = ReadModelName(body, &request); !status) return Propagate(status);
  JsonFields fields(body);
  std::string content;
  fields.Text("content", &content);
  fields.Bool("add_special", &request.options.add_special);
  fields.Bool("parse_special", &request.options.parse_special);
  fields.Bool("with_pieces", &request.with_pieces);
  if (!fields.Has("content")) fields.Fail("content", nullptr, "a text");
  if (!fields.status()) return tl::unexpected(fields.status().error());
  request.prompts.emplace_back(MixedPrompt{std::move(content)});
  return request;
}

Result<ModelRequest> ParseDetokenizeRequest(const json& body) {
  ModelRequest request;
  if (Status status = ReadModelName(body, &request); !status) return Propagate(status);
  Status tokens = ReadTokens("tokens", JsonFields(body).Get("tokens"), &request);
  if (!tokens) return Propagate(tokens);
  return request;
}

Result<ModelRequest> ParseTemplateRequest(const json& body) {
  ModelRequest request;
  if (Status status = ReadModelName(body, &request); !status) return Propagate(status);
  Status messages = ReadMessages(JsonFields(body).Get("messages"), &request);
  if (!messages) return Propagate(messages);
  return request;
}

Result<Json> Tokenize(const Model& model, const TokenizeRequest& request) {
  const auto& content = std::get<std::string>(std::get<MixedPrompt>(request.prompts.at(0)).at(0));
  Json tokens = Json::array();
  for (const Token token : model.tokenizer().Encode(content, request.options)) {
    if (request.with_pieces) {
      tokens.push_back({{"id", token}, {"piece", PieceJson(model.tokenizer().Piece(token, true))}});
    } else {
      tokens.push_back(token);
    }
  }
  return Json{{"tokens", std::move(tokens)}};
}

Result<Json> Detokenize(const Model& model, const ModelRequest& request) {
  const auto& tokens =
      std::get<std::vector<Token>>(std::get<MixedPrompt>(request.prompts.at(0)).at(0));
  const auto n_vocab = static_cast<int64_t>(model.hparams().n_vocab);
  if (!std::all_of(tokens.begin(), tokens.end(), [&](Token token) { return token < n_vocab; })) {
    const json list(tokens);
    JsonFields fields(list);
    fields.Fail("tokens", list, fmt::format("a list of token ids from 0 to {}", n_vocab - 1));
    return tl::unexpected(fields.status().error());
  }
  return Json{{"content", model.tokenizer().Decode(tokens, true)}};
}

Result<Json> ApplyTemplate(const Model& model, const ModelRequest& request) {
  Result<std::string> prompt = model.RenderChat(std::get<Conversation>(request.prompts.at(0)));
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

}  // namespace quern
