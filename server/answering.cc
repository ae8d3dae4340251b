#include "server/answering.h"

#include <fmt/format.h>
#include <httplib.h>

#include <ctime>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/printable.h"
#include "server/api/model_endpoints.h"
#include "server/api/prompt_text.h"
#include "server/api/response_format.h"
#include "server/http_reply.h"
#include "server/inference/generation.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// How long an HTTP thread goes on before it looks whether its client is still there.
constexpr std::chrono::milliseconds kPatience(100);

/// "chatcmpl-..." or "cmpl-..." with random letters.
std::string NewResponseId(ApiKind kind) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string id = kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-";
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

/// Most answers of one request: every prompt's, or every text's embedding.
constexpr size_t kMostAnswers = 2048;

/// Why the server ends an answer that its client still waits for.
HttpError CutOff(const InferenceThread& inference) {
  if (inference.closed()) return {503, "the server is shutting down"};
  return {500, "the server could not go on with the answer"};
}

/// The error of a request; of a prompt that is too long with both numbers.
HttpError Refusal(const Error& error, size_t n_prompt, size_t n_ctx) {
  HttpError refusal = HttpErrorOf(error);
  if (error.code == ErrorCode::kContextExceeded) {
    refusal.type = "exceed_context_size_error";
    refusal.details = {{"n_prompt_tokens", n_prompt}, {"n_ctx", n_ctx}};
  }
  return refusal;
}

Status CheckCount(size_t n_answers) {
  if (n_answers <= kMostAnswers) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the request is for {} answers (prompts times 'n'), expected at most {}", n_answers,
              kMostAnswers);
}

/// Notes prompts as the options want it. False when a rule keeps them from an answer, which the
/// response then says.
bool Admit(std::span<const ApiPrompt> prompts, const Tokenizer& tokenizer,
           const AnsweringOptions& options, RequestRecord& record, httplib::Response& response) {
  if (options.audit_prompts) record.prompt = PromptText(prompts);
  if (options.screening == nullptr) return true;
  record.screened = options.screening->Find(PlainText(prompts, tokenizer));
  for (const ScreenedRule& rule : record.screened) {
    if (rule.action != ScreeningAction::kBlock) continue;
    ReplyError(response,
               HttpError{400,
                         fmt::format("the server does not answer this prompt, by its rule {}",
                                     Quoted(rule.name)),
                         "prompt_blocked"});
    return false;
  }
  return true;
}

/// Waits until a request has left the line. False when it is not to go on, which the response says
/// to a client that is still there.
bool AwaitBegin(Generation& generation, const InferenceThread& inference,
                std::chrono::milliseconds timeout, Exchange& exchange,
                const httplib::Request& request, httplib::Response& response) {
  switch (generation.AwaitBegin(timeout, request.is_connection_closed)) {
    case Generation::Begin::kStarted:
      return true;
    case Generation::Begin::kTimedOut:
      ReplyError(response, HttpError{503, fmt::format("the request waited {} s in the queue",
                                                      timeout.count() / 1e3)});
      break;
    case Generation::Begin::kCutOff:
      exchange.record.outcome = RequestOutcome::kFailed;
      ReplyError(response, CutOff(inference));
      break;
    case Generation::Begin::kClientGone:
      exchange.Leave();
      break;
  }
  return false;
}

/// Waits for all answers, as long as the client does. Nothing when it is gone, or when the server
/// cut them off, which the response then says.
std::optional<std::vector<Answer>> Collect(Generation& generation, const InferenceThread& inference,
                                           Exchange& exchange, const httplib::Request& request,
                                           httplib::Response& response) {
  std::vector<Answer> answers(generation.n_answers());
  Clock::time_point next_look = Clock::now() + kPatience;
  while (!generation.finished()) {
    std::optional<Generation::Part> part = generation.Next(kPatience);
    if (part) {
      if (part->added.finished && part->added.finish_reason == FinishReason::kCancelled) {
        exchange.record.outcome = RequestOutcome::kFailed;
        ReplyError(response, CutOff(inference));
        return std::nullopt;
      }
      if (part->added.stats.generated_tokens > 0) exchange.NoteToken();
      Append(std::move(part->added), &answers[part->index]);
    }
    if (Clock::now() < next_look) continue;
    if (request.is_connection_closed()) {
      exchange.Leave();
      return std::nullopt;
    }
    next_look = Clock::now() + kPatience;
  }
  return answers;
}

/// Writes the events of one streamed response, a call each.
class EventStream {
 public:
  EventStream(ModelLease lease, std::unique_ptr<Generation> generation,
              std::unique_ptr<ResponseFormat> format, std::shared_ptr<Exchange> exchange,
              size_t n_per_prompt, std::chrono::milliseconds ping_every)
      : lease_(std::move(lease)),
        generation_(std::move(generation)),
        format_(std::move(format)),
        exchange_(std::move(exchange)),
        n_per_prompt_(n_per_prompt),
        ping_every_(ping_every),
        answers_(generation_->n_answers()) {
    exchange_->record.outcome = RequestOutcome::kCancelled;  // unless it comes to its end
  }
  ~EventStream() { exchange_->NoteAnswers(answers_, n_per_prompt_); }
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  /// False when the client is gone.
  bool Write(httplib::DataSink& sink) {
    try {
      return WriteNext(sink);
    } catch (const std::exception& error) {  // such as no memory: it ends this response alone
      exchange_->record.outcome = RequestOutcome::kFailed;
      Send(sink, "data: " + HttpErrorBody({500, error.what()}) + "\n\n");
      return false;
    }
  }

 private:
  bool WriteNext(httplib::DataSink& sink) {
    std::optional<Generation::Part> part = generation_->Next(kPatience);
    if (!part) {
      if (Clock::now() < last_write_ + ping_every_) return sink.is_writable();
      return Send(sink, ":\n\n");
    }
    Answer& answer = answers_[part->index];
    if (part->added.finished && part->added.finish_reason == FinishReason::kCancelled) {
      exchange_->record.outcome = RequestOutcome::kFailed;
      if (!Send(sink, "data: " + HttpErrorBody(CutOff(lease_.inference())) + "\n\n")) return false;
      sink.done();
      return true;
    }
    if (part->added.stats.generated_tokens > 0) exchange_->NoteToken();
    std::string events = format_->Part(part->index, part->added);
    // Of the whole only the counts are needed.
    answer.stats = part->added.stats;
    if (generation_->finished()) {
      events += format_->End(answers_);
      exchange_->record.outcome = RequestOutcome::kAnswered;
    }
    // An empty chunk would end the response.
    if (!events.empty() && !Send(sink, events)) {
      exchange_->record.outcome = RequestOutcome::kCancelled;
      return false;
    }
    if (generation_->finished()) sink.done();
    return true;
  }

  bool Send(httplib::DataSink& sink, const std::string& text) {
    last_write_ = Clock::now();
    return sink.write(text.data(), text.size());
  }

  ModelLease lease_;  ///< goes last
  std::unique_ptr<Generation> generation_;
  std::unique_ptr<ResponseFormat> format_;
  std::shared_ptr<Exchange> exchange_;
  size_t n_per_prompt_;
  std::chrono::milliseconds ping_every_;
  std::vector<Answer> answers_;  ///< without their texts
  Clock::time_point last_write_ = Clock::now();
};

}  // namespace

void Complete(ApiKind kind, ModelLease lease, const AnsweringOptions& options,
              const std::shared_ptr<Exchange>& exchange, const nlohmann::json& body,
              const httplib::Request& request, httplib::Response& response) {
  InferenceThread& inference = lease.inference();
  const ModelInfo& info = lease.model().info;
  Result<ApiRequest> parsed = ParseApiRequest(kind, body, lease.model().defaults);
  if (!parsed) return ReplyError(response, parsed.error());
  const Model& model = inference.model();
  if (!Admit(parsed->prompts, model.tokenizer(), options, exchange->record, response)) return;

  ResponseContext context{.tokenizer = &model.tokenizer(),
                          .model_id = info.id,
                          .fingerprint = "quern-" + options.version,
                          .id = NewResponseId(kind),
                          .created = std::time(nullptr),
                          .request = std::move(*parsed),
                          .prompts = {}};
  const ApiRequest& api = context.request;
  if (Status status = CheckCount(api.prompts.size() * api.n); !status) {
    return ReplyError(response, status.error());
  }
  std::vector<GenerateRequest> requests;
  requests.reserve(api.prompts.size() * api.n);
  context.prompts.reserve(api.prompts.size());
  for (const ApiPrompt& prompt : api.prompts) {
    Result<std::vector<Token>> tokens = Encode(model, prompt);
    if (!tokens) return ReplyError(response, tokens.error());
    GenerateRequest generate = api.generate;
    if (options.context_shift) {
      generate.context_shift_keep =
          api.n_keep < 0 ? tokens->size() : static_cast<size_t>(api.n_keep);
    }
    generate.prompt = *tokens;
    if (Status status = inference.Check(generate); !status) {
      return ReplyError(response, Refusal(status.error(), tokens->size(), info.n_ctx));
    }
    context.prompts.push_back(*std::move(tokens));
    for (size_t i = 0; i < api.n; ++i) {
      requests.push_back(generate);
      // Each answer has random numbers of its own; the first those of the seed.
      requests.back().sampling.seed += i;
    }
  }
  const bool stream = api.stream;
  const size_t n = api.n;
  exchange->NoteSubmit();
  Result<std::unique_ptr<Generation>> generation =
      Generation::Start(&inference, std::move(requests));
  if (!generation) return ReplyError(response, generation.error());
  std::unique_ptr<ResponseFormat> format = NewFormat(kind, std::move(context));

  if (!AwaitBegin(**generation, inference, options.queue_timeout, *exchange, request, response)) {
    return;
  }
  if (!stream) {
    const std::optional<std::vector<Answer>> answers =
        Collect(**generation, inference, *exchange, request, response);
    if (!answers) return;
    exchange->NoteAnswers(*answers, n);
    return Reply(response, 200, format->Whole(*answers));
  }
  auto events = std::make_shared<EventStream>(std::move(lease), *std::move(generation),
                                              std::move(format), exchange, n, options.ping_every);
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      "text/event-stream",
      [events](size_t, httplib::DataSink& sink) { return events->Write(sink); });
}

void Embed(ModelLease lease, const AnsweringOptions& options,
           const std::shared_ptr<Exchange>& exchange, const nlohmann::json& body,
           const httplib::Request& request, httplib::Response& response) {
  InferenceThread& inference = lease.inference();
  const ModelInfo& info = lease.model().info;
  Result<EmbeddingRequest> parsed = ParseEmbeddingRequest(body);
  if (!parsed) return ReplyError(response, parsed.error());
  const Tokenizer& tokenizer = inference.model().tokenizer();
  if (!Admit(parsed->inputs, tokenizer, options, exchange->record, response)) return;
  if (Status status = CheckCount(parsed->inputs.size()); !status) {
    return ReplyError(response, status.error());
  }
  std::vector<GenerateRequest> requests;
  requests.reserve(parsed->inputs.size());
  for (const ApiPrompt& input : parsed->inputs) {
    Result<std::vector<Token>> tokens = Encode(inference.model(), input);
    if (!tokens) return ReplyError(response, tokens.error());
    GenerateRequest& embed = requests.emplace_back();
    embed.prompt = *std::move(tokens);
    embed.embed = options.pooling;
    if (Status status = inference.Check(embed); !status) {
      return ReplyError(response, Refusal(status.error(), embed.prompt.size(), info.n_ctx));
    }
  }
  exchange->NoteSubmit();
  Result<std::unique_ptr<Generation>> generation =
      Generation::Start(&inference, std::move(requests));
  if (!generation) return ReplyError(response, generation.error());
  if (!AwaitBegin(**generation, inference, options.queue_timeout, *exchange, request, response)) {
    return;
  }
  const std::optional<std::vector<Answer>> answers =
      Collect(**generation, inference, *exchange, request, response);
  if (!answers) return;
  exchange->NoteAnswers(*answers, 1);
  Reply(response, 200, EmbeddingsJson(info, *parsed, *answers));
}

}  // namespace quern
