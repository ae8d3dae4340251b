#include "server/answering.h"

#include <fmt/format.h>

#include <ctime>
#include <optional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/printable.h"
#include "server/api/model_endpoints.h"
#include "server/api/prompt_text.h"
#include "server/api/response_format.h"
#include "server/event_stream.h"
#include "server/http_reply.h"
#include "server/inference/generation.h"

namespace quern {
namespace {

template <typename T>
using OrNoReply = tl::expected<T, NoReply>;
using Clock = std::chrono::steady_clock;

/// How often the thread of a connection looks whether its client is still there.
constexpr std::chrono::milliseconds kClientPollInterval(100);

/// Most answers of one request: every prompt's, or every text's embedding.
constexpr size_t kMostAnswers = 2048;

/// "chatcmpl-..." or "cmpl-..." with random letters.
std::string NewResponseId(ApiKind kind) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string id = kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-";
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

/// The error of a request; of a prompt that is too long with both numbers.
HttpError RefusalOf(const Error& error, size_t n_prompt, size_t n_ctx) {
  HttpError refusal = HttpErrorOf(error);
  if (error.code == ErrorCode::kContextExceeded) {
    refusal.type = "exceed_context_size_error";
    refusal.details = {{"n_prompt_tokens", n_prompt}, {"n_ctx", n_ctx}};
  }
  return refusal;
}

/// Notes the prompts as the options want it, and refuses what a rule keeps from an answer.
OrNoReply<void> Screen(const ModelRequest& request, const Tokenizer& tokenizer,
                       const AnsweringCall& call) {
  RequestRecord& record = call.exchange->record;
  if (call.options.audit_prompts) record.prompt = PromptText(request.prompts);
  if (call.screening == nullptr) return {};
  record.screened = call.screening->Find(PlainText(request.prompts, &tokenizer));
  for (const ScreenedRule& rule : record.screened) {
    if (rule.action != ScreeningAction::kBlock) continue;
    return Refuse(HttpError{
        400,
        fmt::format("the server does not answer this prompt, by its rule {}", Quoted(rule.name)),
        "prompt_blocked"});
  }
  return {};
}

OrNoReply<void> CheckCount(size_t n_answers) {
  if (n_answers <= kMostAnswers) return {};
  return Refuse(HttpError{400, fmt::format("the request is for {} answers (prompts times 'n'), "
                                           "expected at most {}",
                                           n_answers, kMostAnswers)});
}

/// What a request becomes for the engine, and for the format of its response.
struct Encoded {
  std::vector<GenerateRequest> requests;
  ResponseContext context;
};

OrNoReply<Encoded> EncodePrompts(const ApiRequest& request, const ModelLease& lease,
                                 const AnsweringOptions& options) {
  const InferenceThread& inference = lease.inference();
  const Model& model = inference.model();
  const size_t n = request.response.n;
  if (auto counted = CheckCount(request.prompts.size() * n); !counted) {
    return tl::unexpected(std::move(counted.error()));
  }
  Encoded encoded{.requests = {},
                  .context = {.tokenizer = &model.tokenizer(),
                              .model_id = lease.model().info.id,
                              .fingerprint = "quern-" + options.version,
                              .id = NewResponseId(request.kind),
                              .created = std::time(nullptr),
                              .options = request.response,
                              .generate = request.Generate(lease.model().defaults),
                              .prompts = {}}};
  for (const ApiPrompt& prompt : request.prompts) {
    Result<std::vector<Token>> tokens = Encode(model, prompt);
    if (!tokens) return Refuse(tokens.error());
    GenerateRequest generate = encoded.context.generate;
    if (options.context_shift) {
      const int64_t n_keep = request.response.n_keep;
      generate.context_shift_keep = n_keep < 0 ? tokens->size() : static_cast<size_t>(n_keep);
    }
    generate.prompt = *tokens;
    if (Status status = inference.Check(generate); !status) {
      return Refuse(RefusalOf(status.error(), tokens->size(), lease.model().info.n_ctx));
    }
    encoded.context.prompts.push_back(*std::move(tokens));
    for (size_t i = 0; i < n; ++i) {
      encoded.requests.push_back(generate);
      // Each answer has random numbers of its own; the first those of the seed.
      encoded.requests.back().sampling.seed += i;
    }
  }
  return encoded;
}

/// Queues requests, and waits until one of them has left the queue.
template <typename Group, typename Request>
OrNoReply<std::unique_ptr<Group>> StartGroup(std::vector<Request> requests, const ModelLease& lease,
                                             const AnsweringCall& call) {
  call.exchange->NoteSubmit();
  Result<std::unique_ptr<Group>> group = Group::Submit(&lease.inference(), std::move(requests));
  if (!group) return Refuse(group.error());
  const std::chrono::milliseconds timeout = call.options.queue_timeout;
  switch ((*group)->AwaitStart(timeout, call.is_client_gone)) {
    case GroupStart::kStarted:
      break;
    case GroupStart::kTimedOut:
      return Refuse(HttpError{
          503, fmt::format("the request waited {} s in the queue", timeout.count() / 1e3)});
    case GroupStart::kCutOff:
      call.exchange->NoteCutOff();
      return Refuse(CutOffError(lease.inference()));
    case GroupStart::kClientGone:
      return tl::unexpected<NoReply>(ClientGone());
  }
  return *std::move(group);
}

/// Has `take` take what `source` gives until that is finished, as long as the client waits. False
/// from it says that the server has cut off.
template <typename Source, typename Take>
OrNoReply<void> TakeAll(Source& source, const ModelLease& lease, const AnsweringCall& call,
                        Take take) {
  Clock::time_point next_check = Clock::now() + kClientPollInterval;
  while (!source.finished()) {
    if (auto part = source.Next(kClientPollInterval); part && !take(*std::move(part))) {
      call.exchange->NoteCutOff();
      return Refuse(CutOffError(lease.inference()));
    }
    if (Clock::now() < next_check) continue;
    if (call.is_client_gone()) return tl::unexpected<NoReply>(ClientGone());
    next_check = Clock::now() + kClientPollInterval;
  }
  return {};
}

OrNoReply<HttpReply> ReplyWhole(Generation& generation, ResponseFormat& format, size_t n_per_prompt,
                                const ModelLease& lease, const AnsweringCall& call) {
  std::vector<Answer> answers(generation.n_answers());
  const auto take = [&](Generation::Part part) {
    if (part.added.is_cut_off()) return false;
    if (part.added.stats.generated_tokens > 0) call.exchange->NoteToken();
    Append(std::move(part.added), &answers[part.index]);
    return true;
  };
  return TakeAll(generation, lease, call, take).map([&] {
    call.exchange->NoteAnswers(answers, n_per_prompt);
    return JsonReply(format.Whole(answers));
  });
}

OrNoReply<HttpReply> ReplyEmbeddings(EmbedGroup& group, const EmbeddingRequest& request,
                                     const ModelLease& lease, const AnsweringCall& call) {
  std::vector<Embedding> embeddings(group.size());
  const auto take = [&](IndexedEvent<Embedding> event) {
    if (event.event.is_cancelled()) return false;
    embeddings[event.index] = std::move(event.event);
    return true;
  };
  return TakeAll(group, lease, call, take).map([&] {
    call.exchange->NoteEmbeddings(embeddings);
    return JsonReply(EmbeddingsJson(lease.model().info, request, embeddings));
  });
}

HttpReply ReplyStream(std::unique_ptr<Generation> generation,
                      std::unique_ptr<ResponseFormat> format, size_t n_per_prompt, ModelLease lease,
                      const AnsweringCall& call) {
  return {.headers = {{"Cache-Control", "no-cache"}},
          .content_type = "text/event-stream",
          .body = std::make_shared<EventStream>(
              std::move(lease), std::move(generation), std::move(format), call.exchange,
              EventStream::Options{.n_per_prompt = n_per_prompt,
                                   .ping_every = call.options.ping_every,
                                   .client_poll_interval = kClientPollInterval})};
}

OrNoReply<std::vector<EmbedRequest>> EncodeInputs(const EmbeddingRequest& request,
                                                  const ModelLease& lease,
                                                  const AnsweringOptions& options) {
  if (auto counted = CheckCount(request.prompts.size()); !counted) {
    return tl::unexpected(std::move(counted.error()));
  }
  std::vector<EmbedRequest> requests;
  requests.reserve(request.prompts.size());
  for (const ApiPrompt& input : request.prompts) {
    Result<std::vector<Token>> tokens = Encode(lease.inference().model(), input);
    if (!tokens) return Refuse(tokens.error());
    const EmbedRequest& embed = requests.emplace_back(
        EmbedRequest{.prompt = *std::move(tokens), .pooling = options.pooling});
    if (Status status = lease.inference().Check(embed); !status) {
      return Refuse(RefusalOf(status.error(), embed.prompt.size(), lease.model().info.n_ctx));
    }
  }
  return requests;
}

}  // namespace

ReplyResult Complete(const ApiRequest& request, ModelLease lease, const AnsweringCall& call) {
  const Tokenizer& tokenizer = lease.inference().model().tokenizer();
  const size_t n_per_prompt = request.response.n;
  std::unique_ptr<ResponseFormat> format;
  return Screen(request, tokenizer, call)
      .and_then([&] { return EncodePrompts(request, lease, call.options); })
      .and_then([&](Encoded encoded) {
        format = NewFormat(request.kind, std::move(encoded.context));
        return StartGroup<GenerateGroup>(std::move(encoded.requests), lease, call);
      })
      .and_then([&](std::unique_ptr<GenerateGroup> group) -> ReplyResult {
        auto generation = std::make_unique<Generation>(std::move(group), tokenizer);
        if (!request.response.stream) {
          return ReplyWhole(*generation, *format, n_per_prompt, lease, call);
        }
        return ReplyStream(std::move(generation), std::move(format), n_per_prompt, std::move(lease),
                           call);
      });
}

ReplyResult Embed(const EmbeddingRequest& request, const ModelLease& lease,
                  const AnsweringCall& call) {
  return Screen(request, lease.inference().model().tokenizer(), call)
      .and_then([&] { return EncodeInputs(request, lease, call.options); })
      .and_then([&](std::vector<EmbedRequest> requests) {
        return StartGroup<EmbedGroup>(std::move(requests), lease, call);
      })
      .and_then([&](const std::unique_ptr<EmbedGroup>& group) {
        return ReplyEmbeddings(*group, request, lease, call);
      });
}

}  // namespace quern
