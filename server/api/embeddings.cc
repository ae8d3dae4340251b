#include "server/api/embeddings.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/base64.h"
#include "server/api/json_fields.h"
#include "server/api/parse_prompts.h"

namespace quern {

using nlohmann::json;

Result<EmbeddingRequest> ParseEmbeddingRequest(const json& body) {
  EmbeddingRequest request;
  if (Status status = ReadModelName(body, &request); !status) return Propagate(status);
  JsonFields fields(body);
  if (fields.Has("dimensions")) {
    NoteUnsupported(Fail(ErrorCode::kUnsupported, "'dimensions' is not supported"), &request);
  }
  std::string format = "float";
  fields.Text("encoding_format", &format);
  if (format != "float" && format != "base64") {
    fields.Fail("encoding_format", format, "\"float\" or \"base64\"");
  }
  request.base64 = format == "base64";
  const json& input = fields.Get("input");
  if (input.is_string() && input.get_ref<const std::string&>().empty()) {
    fields.Fail("input", input, "a text that is not empty");
  }
  if (!fields.status()) return tl::unexpected(fields.status().error());
  Status inputs = ReadPrompts("input", input, /*mixed=*/false, &request);
  if (!inputs) return Propagate(inputs);
  return request;
}

Json EmbeddingsJson(const ModelInfo& info, const EmbeddingRequest& request,
                    std::span<const Embedding> embeddings) {
  Json data = Json::array();
  size_t n_tokens = 0;
  for (size_t i = 0; i < embeddings.size(); ++i) {
    const std::vector<float>& values = embeddings[i].values;
    n_tokens += embeddings[i].stats.prompt_tokens;
    Json entry = {{"object", "embedding"}, {"index", i}};
    if (request.base64) {
      // Clients take the bytes for little-endian floats, as every machine that Quern runs on has
      // them.
      std::string bytes(values.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), values.data(), bytes.size());
      entry["embedding"] = Base64(bytes);
    } else {
      entry["embedding"] = values;
    }
    data.push_back(std::move(entry));
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", info.id},
          {"usage", {{"prompt_tokens", n_tokens}, {"total_tokens", n_tokens}}}};
}

}  // namespace quern
