#include "runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <new>
#include <utility>

#include "gguf/check.h"
#include "runtime/executor.h"
#include "runtime/kv_pool.h"
#include "runtime/prefix_cache.h"
#include "runtime/sequence.h"
#include "runtime/stop_text.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// With this many rows of the widest model, sizes in bytes are still far below 2^64.
constexpr size_t kMostChunkTokens = size_t{1} << 20;

double SecondsBetween(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// One request from Submit to its last event.
struct Job {
  Job(RequestId id_in, GenerateRequest request_in, EventSink sink_in, const Tokenizer& tokenizer,
      KvPool* pool)
      : id(id_in),
        request(std::move(request_in)),
        sink(std::make_shared<const EventSink>(std::move(sink_in))),
        sampler(request.sampling),
        detokenizer(tokenizer),
        stop(request.stop),
        sequence(pool),
        tokens(request.prompt) {
    for (const Token token : tokens) sampler.Accept(token);
    stats.prompt_tokens = tokens.size();
  }

  size_t n_prompt() const { return request.prompt.size(); }
  bool in_prefill() const { return sequence.n_past() < n_prompt(); }

  RequestId id;
  GenerateRequest request;
  std::shared_ptr<const EventSink> sink;
  Sampler sampler;
  StreamingDetokenizer detokenizer;
  StopText stop;
  Sequence sequence;
  std::vector<Token>
      tokens;  ///< prompt and answer so far; those beyond sequence.n_past() are still to run
  GenerateStats stats;
  Clock::time_point started;
  Clock::time_point first_token;
  bool cancelled = false;
  bool finished = false;
};

/// An event on its way to a sink, which may outlive the job that it tells of.
struct Delivery {
  std::shared_ptr<const EventSink> sink;
  GenerateEvent event;
};

}  // namespace

struct Engine::Impl {
  Impl(std::shared_ptr<const Model> model_in, const EngineOptions& options_in, int n_threads,
       KvPool pool_in)
      : model(std::move(model_in)),
        options(options_in),
        team(n_threads),
        pool(std::move(pool_in)),
        prefixes(&pool),
        executor(model, &pool, &team, options.chunk_tokens) {}

  void Admit();
  bool TryAdmit(Job& job);
  void DropCancelled();
  std::vector<Job*> FormBatch(std::vector<BatchPart>& parts);
  void Advance(Job& job, std::span<const float> logits);
  void Emit(Job& job, GenerateEvent event);
  void Deliver();

  std::shared_ptr<const Model> model;
  EngineOptions options;
  ThreadTeam team;
  KvPool pool;
  PrefixCache prefixes;
  Executor executor;
  RequestId next_id = 1;
  std::deque<std::unique_ptr<Job>> waiting;
  std::list<std::unique_ptr<Job>> running;
  std::vector<Delivery> deliveries;
};

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const Model> model,
                                               const EngineOptions& options) {
  if (options.n_ctx == 0 || options.chunk_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "context of {} and chunks of {}: expected at least 1",
                options.n_ctx, options.chunk_tokens);
  }
  if (options.chunk_tokens > kMostChunkTokens) {
    return Fail(ErrorCode::kInvalidArgument, "chunks of {} tokens: expected at most {}",
                options.chunk_tokens, kMostChunkTokens);
  }
  Result<KvPool> pool = KvPool::Create(model->hparams(), options.kv_type, PagesFor(options.n_ctx));
  if (!pool) return Propagate(pool);
  const int n_threads = options.n_threads > 0 ? options.n_threads : AvailableThreads();
  try {
    return std::unique_ptr<Engine>(
        new Engine(std::make_unique<Impl>(std::move(model), options, n_threads, std::move(*pool))));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kOutOfMemory,
                "no memory for the work on chunks of {} tokens by {} threads", options.chunk_tokens,
                n_threads);
  }
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

const Model& Engine::model() const { return *impl_->model; }

Status Engine::Check(const GenerateRequest& request) const {
  const size_t n_ctx = impl_->options.n_ctx;
  if (request.prompt.empty()) return Fail(ErrorCode::kInvalidArgument, "the prompt has no tokens");
  if (request.prompt.size() >= n_ctx) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "the prompt has {} tokens, and the context of {} must hold it and at least one more",
        request.prompt.size(), n_ctx);
  }
  const auto n_vocab = static_cast<int64_t>(model().hparams().n_vocab);
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= n_vocab) {
      return Fail(ErrorCode::kInvalidArgument, "token {} of the prompt is {}, expected 0 to {}", i,
                  request.prompt[i], n_vocab - 1);
    }
  }
  return request.sampling.Validate();
}

Result<RequestId> Engine::Submit(GenerateRequest request, EventSink sink) {
  if (Status status = Check(request); !status) return Propagate(status);
  const size_t room = impl_->options.n_ctx - request.prompt.size();
  request.max_tokens = request.max_tokens == 0 ? room : std::min(request.max_tokens, room);
  const RequestId id = impl_->next_id++;
  impl_->waiting.push_back(std::make_unique<Job>(id, std::move(request), std::move(sink),
                                                 impl_->model->tokenizer(), &impl_->pool));
  return id;
}

void Engine::Cancel(RequestId id) {
  for (auto& job : impl_->waiting) job->cancelled |= job->id == id;
  for (auto& job : impl_->running) job->cancelled |= job->id == id;
}

bool Engine::Step() {
  Impl& impl = *impl_;
  impl.DropCancelled();
  impl.Deliver();
  impl.Admit();
  if (impl.running.empty()) return false;

  std::vector<BatchPart> parts;
  const std::vector<Job*> jobs = impl.FormBatch(parts);
  std::span<const float> logits = impl.executor.Forward(parts);
  const size_t n_vocab = impl.model->hparams().n_vocab;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (parts[i].n_logits == 0) continue;
    impl.Advance(*jobs[i], logits.first(n_vocab));
    logits = logits.subspan(n_vocab);
  }
  std::erase_if(impl.running, [](const std::unique_ptr<Job>& job) { return job->finished; });
  impl.Deliver();
  return true;
}

/// Ends cancelled requests, and gives their pages back.
void Engine::Impl::DropCancelled() {
  const auto drop = [&](std::unique_ptr<Job>& job) {
    if (!job->cancelled) return false;
    GenerateEvent event;
    event.finished = true;
    event.finish_reason = FinishReason::kCancelled;
    Emit(*job, std::move(event));
    return true;
  };
  std::erase_if(waiting, drop);
  std::erase_if(running, drop);
}

/// Admits in order of arrival. A request reserves the pages of its whole answer, so that once
/// admitted it always finishes.
void Engine::Impl::Admit() {
  while (!waiting.empty() && running.size() < options.chunk_tokens && TryAdmit(*waiting.front())) {
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

bool Engine::Impl::TryAdmit(Job& job) {
  const std::vector<KvPool::PageId> shared = prefixes.Find(job.request.prompt);
  job.sequence.Share(shared);
  // The last answer token is never run, so it takes no place.
  const size_t total = job.n_prompt() + job.request.max_tokens - 1;
  const size_t missing = PagesFor(total) - shared.size();
  // While the request has to wait, what is cached stays: others may have use for it.
  if (pool.n_free() + prefixes.n_evictable() < missing) {
    job.sequence.Truncate(0);
    return false;
  }
  prefixes.MakeRoom(missing);
  const Status reserved = job.sequence.Reserve(total - job.sequence.n_past());
  QUERN_DCHECK(reserved);
  job.stats.cached_tokens = job.sequence.n_past();
  job.started = Clock::now();
  return true;
}

/// Decoding requests first, a row each; then prompts in order of arrival, as many tokens as the
/// chunk has room for.
std::vector<Job*> Engine::Impl::FormBatch(std::vector<BatchPart>& parts) {
  std::vector<Job*> jobs;
  size_t room = options.chunk_tokens;
  const auto add = [&](Job& job, size_t n_tokens) {
    const size_t n_past = job.sequence.n_past();
    const bool is_last = n_past + n_tokens == job.tokens.size();
    parts.push_back({&job.sequence, std::span(job.tokens).subspan(n_past, n_tokens),
                     is_last ? size_t{1} : size_t{0}});
    jobs.push_back(&job);
    room -= n_tokens;
  };
  for (auto& job : running) {
    if (!job->in_prefill() && room > 0) add(*job, 1);
  }
  for (auto& job : running) {
    if (job->in_prefill() && room > 0) {
      add(*job, std::min(room, job->n_prompt() - job->sequence.n_past()));
    }
  }
  return jobs;
}

/// Samples the next token of a job.
void Engine::Impl::Advance(Job& job, std::span<const float> logits) {
  const Clock::time_point now = Clock::now();
  if (job.stats.generated_tokens == 0) {
    job.stats.prefill_seconds = SecondsBetween(job.started, now);
    job.first_token = now;
  }
  GenerateEvent event;
  event.token = job.sampler.Sample(logits);
  ++job.stats.generated_tokens;
  job.stats.decode_seconds = SecondsBetween(job.first_token, now);
  job.tokens.push_back(event.token.token);

  if (!job.request.ignore_eos && model->tokenizer().IsEndOfGeneration(event.token.token)) {
    event.finished = true;
    event.finish_reason = FinishReason::kStop;
  } else {
    event.text = job.stop.Add(job.detokenizer.Add(event.token.token));
    if (!job.stop.matched().empty()) {
      event.finished = true;
      event.finish_reason = FinishReason::kStop;
    } else if (job.stats.generated_tokens == job.request.max_tokens) {
      event.finished = true;
      event.finish_reason = FinishReason::kLength;
    }
  }
  Emit(job, std::move(event));
}

/// Prepares an event for the job's sink; with the last one its full pages are kept for others.
void Engine::Impl::Emit(Job& job, GenerateEvent event) {
  event.stats = job.stats;
  if (event.finished) {
    event.text += job.stop.Add(job.detokenizer.Finish());
    event.text += job.stop.Finish();
    job.finished = true;
    prefixes.Keep(std::span(job.tokens).first(job.sequence.n_past()), job.sequence.pages());
  }
  if (*job.sink) deliveries.push_back({job.sink, std::move(event)});
}

/// Tells the sinks. A sink may submit and cancel, so nothing else is under way meanwhile.
void Engine::Impl::Deliver() {
  for (const Delivery& delivery : std::exchange(deliveries, {})) (*delivery.sink)(delivery.event);
}

Result<std::string> Engine::Generate(GenerateRequest request, const EventSink& sink) {
  std::string text;
  bool finished = false;
  Result<RequestId> id = Submit(std::move(request), [&](const GenerateEvent& event) {
    text += event.text;
    finished = event.finished;
    if (sink) sink(event);
  });
  if (!id) return Propagate(id);
  while (!finished && Step()) {
  }
  return text;
}

}  // namespace quern
