#include "runtime/engine/engine.h"

#include <algorithm>
#include <deque>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "gguf/base/check.h"
#include "runtime/engine/embed_job.h"
#include "runtime/engine/generate_job.h"
#include "runtime/engine/job.h"
#include "runtime/engine/prefill_pacer.h"
#include "runtime/engine/prefix_cache.h"
#include "runtime/forward/executor.h"
#include "runtime/forward/kv_pool.h"
#include "runtime/machine/cpu_limits.h"

namespace quern {
namespace {

/// With this many rows of the widest model, sizes in bytes are still far below 2^64.
constexpr size_t kMostChunkTokens = size_t{1} << 20;

/// Most bytes of logits in a step for the log-probabilities of prompts: 128 rows of 128k tokens.
constexpr size_t kPromptLogitsBytes = size_t{64} << 20;

/// A prompt's place in the queue of prefill is behind this many times its length: short ones pass
/// long ones, and no stream of short ones holds up a long one for ever.
constexpr size_t kDeadlinePerToken = 4;

/// Requests that wait for another's prompt and are looked at in a step, so that a crowd of them
/// costs no time.
constexpr size_t kMostHeld = 32;

size_t CommonPrefix(std::span<const Token> a, std::span<const Token> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

struct Engine::Impl {
  Impl(std::shared_ptr<const Model> model_in, const EngineOptions& options_in,
       std::unique_ptr<ForwardPass> pass_in)
      : model(std::move(model_in)),
        options(options_in),
        pass(std::move(pass_in)),
        pool(pass->pool()),
        prefixes(&pool),
        pacer(options.max_stretch, options.max_step_seconds) {}

  using Jobs = std::list<std::unique_ptr<Job>>;

  /// What runs in one step: answers that go on, and behind them pieces of prompts.
  struct Batch {
    std::vector<Job*> jobs;
    std::vector<BatchPart> parts;  ///< of each
    size_t n_decoding = 0;         ///< the first so many jobs, a row each
    size_t n_prompt = 0;           ///< rows of all others

    void Add(Job* job, size_t n_tokens) {
      jobs.push_back(job);
      parts.push_back(job->Part(n_tokens));
    }
  };

  void DropCancelled();
  void AdmitQueued();
  bool IsBeingRead(const Job& job, size_t n_cached_pages) const;
  bool TryAdmit(Job& job, std::span<const PageSet> cached);
  void ReservePages();
  bool TryReserve(Job& job);
  void PreemptLast();
  Batch FormBatch();
  void Take(const Batch& batch, std::span<const float> logits);
  void KeepPages(Job& job);
  void Count(const Batch& batch, double seconds);
  Status CheckPrompt(std::span<const Token> prompt, bool generates) const;
  void Queue(Delivery delivery);
  void Deliver();

  std::shared_ptr<const Model> model;
  EngineOptions options;
  std::unique_ptr<ForwardPass> pass;
  KvPool& pool;  ///< the pass's
  PrefixCache prefixes;
  PrefillPacer pacer;
  RequestId next_id = 1;
  Jobs waiting;
  Jobs running;  ///< in order of admission
  std::vector<Delivery> deliveries;
  EngineStatus totals;  ///< its counts alone
};

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const Model> model,
                                               EngineOptions options) {
  if (options.n_ctx == 0 || options.chunk_tokens == 0 || options.max_running == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "context of {}, chunks of {} and {} requests: expected at least 1 of each",
                options.n_ctx, options.chunk_tokens, options.max_running);
  }
  if (options.chunk_tokens > kMostChunkTokens) {
    return Fail(ErrorCode::kInvalidArgument, "chunks of {} tokens: expected at most {}",
                options.chunk_tokens, kMostChunkTokens);
  }
  options.kv_tokens = std::max(options.kv_tokens, options.n_ctx);
  options.max_running = std::min(options.max_running, options.chunk_tokens);
  if (options.n_threads <= 0) options.n_threads = AvailableThreads();
  Result<std::unique_ptr<Executor>> pass =
      Executor::Create(model, {.kv_types = options.kv_types,
                               .n_pages = PagesFor(options.kv_tokens),
                               .n_threads = options.n_threads,
                               .max_rows = options.chunk_tokens});
  if (!pass) return Propagate(pass);
  return Create(std::move(model), options, *std::move(pass));
}

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const Model> model,
                                               EngineOptions options,
                                               std::unique_ptr<ForwardPass> pass) {
  options.chunk_tokens = pass->max_rows();
  options.kv_tokens = pass->pool().n_pages() * kPageTokens;
  options.kv_types = pass->pool().types();
  if (options.n_ctx == 0 || options.max_running == 0 || options.kv_tokens < options.n_ctx) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "context of {} and {} requests with a KV cache of {} tokens: expected at least 1 of "
        "each, and a cache that holds a context",
        options.n_ctx, options.max_running, options.kv_tokens);
  }
  options.max_running = std::min(options.max_running, options.chunk_tokens);
  return std::unique_ptr<Engine>(
      new Engine(std::make_unique<Impl>(std::move(model), options, std::move(pass))));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

const Model& Engine::model() const { return *impl_->model; }

const EngineOptions& Engine::options() const { return impl_->options; }

EngineStatus Engine::status() const {
  const Impl& impl = *impl_;
  EngineStatus status = impl.totals;
  status.n_running = impl.running.size();
  status.n_waiting = impl.waiting.size();
  status.requests.reserve(status.n_running + status.n_waiting);
  for (const auto& job : impl.running) status.requests.push_back(job->status(true));
  for (const auto& job : impl.waiting) status.requests.push_back(job->status(false));
  status.n_ctx = impl.options.n_ctx;
  status.page_tokens = kPageTokens;
  status.pages_total = impl.pool.n_pages();
  status.pages_cached = impl.prefixes.n_evictable();
  status.pages_in_use = status.pages_total - impl.pool.n_free() - status.pages_cached;
  return status;
}

Status Engine::Impl::CheckPrompt(std::span<const Token> prompt, bool generates) const {
  if (prompt.empty()) return Fail(ErrorCode::kInvalidArgument, "the prompt has no tokens");
  if (prompt.size() + (generates ? 1 : 0) > options.n_ctx) {
    return Fail(ErrorCode::kContextExceeded,
                "the prompt has {} tokens, and the context of {} must hold it{}", prompt.size(),
                options.n_ctx, generates ? " and at least one more" : "");
  }
  const auto n_vocab = static_cast<int64_t>(model->hparams().n_vocab);
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < 0 || prompt[i] >= n_vocab) {
      return Fail(ErrorCode::kInvalidArgument, "token {} of the prompt is {}, expected 0 to {}", i,
                  prompt[i], n_vocab - 1);
    }
  }
  return {};
}

Status Engine::Check(const EmbedRequest& request) const {
  return impl_->CheckPrompt(request.prompt, /*generates=*/false);
}

Status Engine::Check(const GenerateRequest& request) const {
  Status prompt = impl_->CheckPrompt(request.prompt, request.max_tokens != 0);
  if (!prompt) return prompt;
  if (request.prompt_logprobs && request.sampling.n_logprobs < 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "log-probabilities of the prompt are wanted, and n_logprobs is {}, expected at "
                "least 0",
                request.sampling.n_logprobs);
  }
  return request.sampling.Validate();
}

Result<RequestId> Engine::Submit(GenerateRequest request, EventSink sink) {
  if (Status status = Check(request); !status) return Propagate(status);
  const size_t room = impl_->options.n_ctx - request.prompt.size();
  if (!request.context_shift_keep || !request.max_tokens) {
    request.max_tokens = std::min(request.max_tokens.value_or(room), room);
  }
  const RequestId id = impl_->next_id++;
  impl_->waiting.push_back(std::make_unique<GenerateJob>(id, std::move(request), std::move(sink),
                                                         impl_->model->tokenizer(), &impl_->pool));
  return id;
}

Result<RequestId> Engine::Submit(EmbedRequest request, EmbedSink sink) {
  if (Status status = Check(request); !status) return Propagate(status);
  const RequestId id = impl_->next_id++;
  impl_->waiting.push_back(
      std::make_unique<EmbedJob>(id, std::move(request), std::move(sink), &impl_->pool));
  return id;
}

void Engine::Cancel(RequestId id) {
  for (auto& job : impl_->waiting) job->cancelled |= job->id() == id;
  for (auto& job : impl_->running) job->cancelled |= job->id() == id;
}

bool Engine::Step() {
  Impl& impl = *impl_;
  impl.DropCancelled();
  impl.Deliver();
  impl.AdmitQueued();
  impl.ReservePages();
  // The last one running may have preempted itself.
  if (impl.running.empty()) return !impl.waiting.empty();

  const Impl::Batch batch = impl.FormBatch();
  const EngineClock::time_point start = EngineClock::now();
  const std::span<const float> logits = impl.pass->Forward(batch.parts);
  impl.Count(batch, std::chrono::duration<double>(EngineClock::now() - start).count());
  impl.Take(batch, logits);
  std::erase_if(impl.running, [](const std::unique_ptr<Job>& job) { return job->finished(); });
  impl.Deliver();
  return true;
}

/// Ends cancelled requests, and gives their pages back.
void Engine::Impl::DropCancelled() {
  const auto drop = [&](std::unique_ptr<Job>& job) {
    if (!job->cancelled) return false;
    KeepPages(*job);
    Queue(job->Cancel());
    return true;
  };
  std::erase_if(waiting, drop);
  std::erase_if(running, drop);
}

/// Admits in order of arrival. Only a prompt whose beginning is being read for another lets others
/// pass: it waits for what it would else compute a second time.
void Engine::Impl::AdmitQueued() {
  size_t n_held = 0;
  for (auto next = waiting.begin();
       next != waiting.end() && n_held < kMostHeld && running.size() < options.max_running;) {
    Job& job = **next;
    const std::vector<PageSet> cached =
        job.needs_every_row() ? std::vector<PageSet>() : prefixes.Find(job.tokens());
    if (!job.needs_every_row() && IsBeingRead(job, cached.size())) {
      ++next;
      ++n_held;
      continue;
    }
    if (!TryAdmit(job, cached)) break;
    running.splice(running.end(), waiting, next++);
  }
}

/// Whether another prompt's reading will give this one more pages than are cached now.
bool Engine::Impl::IsBeingRead(const Job& job, size_t n_cached_pages) const {
  // One token at least must run, for its logits.
  const std::span<const Token> tokens = job.tokens().first(job.tokens().size() - 1);
  return std::any_of(running.begin(), running.end(), [&](const std::unique_ptr<Job>& other) {
    return !other->decoding() &&
           CommonPrefix(tokens, other->tokens()) / kPageTokens > n_cached_pages;
  });
}

/// Takes the pages of the whole prompt.
bool Engine::Impl::TryAdmit(Job& job, std::span<const PageSet> cached) {
  job.sequence().Share(cached);
  const size_t missing = PagesFor(job.tokens().size()) - cached.size();
  // Each running answer may soon want one more. While the request has to wait, what is cached
  // stays: others may have use for it.
  if (pool.n_free() + prefixes.n_evictable() < missing + running.size()) {
    job.sequence().Truncate(0);
    return false;
  }
  prefixes.MakeRoom(missing);
  const Status reserved = job.sequence().Reserve(job.pending().size());
  QUERN_DCHECK(reserved);
  if (job.Start()) totals.cached_tokens += job.sequence().n_past();
  job.deadline = totals.prompt_tokens + kDeadlinePerToken * job.pending().size();
  return true;
}

/// Sees that every running request has the pages for its next step, at the cost of those that were
/// admitted after it.
void Engine::Impl::ReservePages() {
  for (auto job = running.begin(); job != running.end(); ++job) {
    (*job)->ShiftContext(options.n_ctx);
    while (!TryReserve(**job)) {
      const bool was_last = std::next(job) == running.end();
      PreemptLast();
      if (was_last) return;
    }
  }
}

bool Engine::Impl::TryReserve(Job& job) {
  prefixes.MakeRoom(job.sequence().PagesToReserve(job.pending().size()));
  return job.sequence().Reserve(job.pending().size()).has_value();
}

/// Its pages stay cached until someone needs them, so it may find them again.
void Engine::Impl::PreemptLast() {
  Job& job = *running.back();
  KeepPages(job);
  job.sequence().Truncate(0);
  waiting.splice(waiting.begin(), running, std::prev(running.end()));
  ++totals.preemptions;
}

/// Decoding requests first, a row each; then prompts, as many tokens as the step has room for.
Engine::Impl::Batch Engine::Impl::FormBatch() {
  Batch batch;
  std::vector<Job*> prompts;
  for (auto& job : running) {
    if (job->decoding()) {
      batch.Add(job.get(), 1);
    } else {
      prompts.push_back(job.get());
    }
  }
  batch.n_decoding = batch.jobs.size();

  std::stable_sort(prompts.begin(), prompts.end(),
                   [](const Job* a, const Job* b) { return a->deadline < b->deadline; });
  size_t room = pacer.Chunk(batch.n_decoding, options.chunk_tokens - batch.n_decoding);
  size_t logits_room =
      std::max<size_t>(1, kPromptLogitsBytes / (model->hparams().n_vocab * sizeof(float)));
  std::vector<std::pair<Job*, size_t>> embeddings;  // the executor wants them last
  for (Job* job : prompts) {
    const bool scores = job->wants_every_logit();
    const size_t n = std::min({room, job->pending().size(), scores ? logits_room : room});
    if (n == 0) continue;
    if (job->wants_hidden()) {
      embeddings.emplace_back(job, n);
    } else {
      batch.Add(job, n);
    }
    room -= n;
    batch.n_prompt += n;
    if (scores) logits_room -= n;
  }
  for (const auto& [job, n] : embeddings) batch.Add(job, n);
  return batch;
}

/// Gives each job its rows of what the step computed. Jobs sample and pool side by side, on the
/// threads that computed the rows, and are told of in order.
void Engine::Impl::Take(const Batch& batch, std::span<const float> logits) {
  const size_t n_vocab = model->hparams().n_vocab;
  const size_t n_embd = model->hparams().n_embd;
  std::span<const float> hidden = pass->hidden();
  std::vector<std::span<const float>> rows;  // of each job
  rows.reserve(batch.jobs.size());
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    const BatchPart& part = batch.parts[i];
    if (i >= batch.n_decoding) KeepPages(*batch.jobs[i]);
    std::span<const float>& source = batch.jobs[i]->wants_hidden() ? hidden : logits;
    const size_t n =
        batch.jobs[i]->wants_hidden() ? part.n_hidden * n_embd : part.n_logits * n_vocab;
    rows.push_back(source.first(n));
    source = source.subspan(n);
  }
  std::vector<Delivery> told(batch.jobs.size());
  const auto take = [&](size_t i) {
    Job& job = *batch.jobs[i];
    told[i] = job.Take(rows[i], job.wants_hidden() ? n_embd : n_vocab);
  };
  size_t n_before = 0;
  for (const Job* job : batch.jobs) n_before += job->n_generated();
  if (told.size() == 1) {
    take(0);  // which needs nobody to wake up
  } else {
    pass->ForEach(told.size(), take);
  }
  for (size_t i = 0; i < told.size(); ++i) {
    totals.generated_tokens += batch.jobs[i]->n_generated();
    if (batch.jobs[i]->finished()) KeepPages(*batch.jobs[i]);
    Queue(std::move(told[i]));
  }
  totals.generated_tokens -= n_before;
}

/// Keeps a job's full pages for others.
void Engine::Impl::KeepPages(Job& job) {
  job.sequence().Adopt(
      prefixes.Keep(job.tokens().first(job.sequence().n_past()), job.sequence().pages()));
}

void Engine::Impl::Count(const Batch& batch, double seconds) {
  pacer.Observe(batch.n_decoding, batch.n_prompt, seconds);
  // Rows share the time of a step.
  const double decode_seconds = seconds * static_cast<double>(batch.n_decoding) /
                                static_cast<double>(batch.n_decoding + batch.n_prompt);
  ++totals.steps;
  totals.decode_steps += batch.n_decoding > 0 ? 1 : 0;
  totals.decoded_rows += batch.n_decoding;
  totals.prompt_tokens += batch.n_prompt;
  totals.decode_seconds += decode_seconds;
  totals.prefill_seconds += seconds - decode_seconds;
}

void Engine::Impl::Queue(Delivery delivery) {
  if (delivery) deliveries.push_back(std::move(delivery));
}

/// Tells the sinks. A sink may submit and cancel, so nothing else is under way meanwhile.
void Engine::Impl::Deliver() {
  for (const Delivery& deliver : std::exchange(deliveries, {})) deliver();
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

Result<Embedding> Engine::Embed(EmbedRequest request) {
  std::optional<Embedding> told;
  Result<RequestId> id =
      Submit(std::move(request), [&](const Embedding& embedding) { told = embedding; });
  if (!id) return Propagate(id);
  while (!told && Step()) {
  }
  return *std::move(told);
}

}  // namespace quern
