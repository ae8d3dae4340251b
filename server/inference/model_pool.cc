#include "server/inference/model_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <set>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

/// Between two looks at whether the client of a request that waits is still there.
constexpr std::chrono::milliseconds kClientPollInterval{100};
/// For the last event of streams that were cut off, once the server stops.
constexpr std::chrono::seconds kLastWords{2};
constexpr int kLoadRetrySeconds = 5;

HttpError BeingLoaded(const std::string& id) {
  HttpError error{503, fmt::format("the model {} is being loaded", id)};
  error.retry_after = kLoadRetrySeconds;
  return error;
}

HttpError Unknown(std::string_view name) {
  HttpError error{404, fmt::format("no model {} here, see /v1/models", Quoted(name))};
  error.type = "model_not_found";
  return error;
}

HttpError ShuttingDown() { return {503, "the server is shutting down"}; }

/// The counts of `status`, which outlast its engine.
void AddCounts(const EngineStatus& status, EngineStatus* sum) {
  sum->steps += status.steps;
  sum->decode_steps += status.decode_steps;
  sum->decoded_rows += status.decoded_rows;
  sum->prompt_tokens += status.prompt_tokens;
  sum->cached_tokens += status.cached_tokens;
  sum->generated_tokens += status.generated_tokens;
  sum->preemptions += status.preemptions;
  sum->prefill_seconds += status.prefill_seconds;
  sum->decode_seconds += status.decode_seconds;
}

void Add(const EngineStatus& status, EngineStatus* sum) {
  AddCounts(status, sum);
  sum->requests.insert(sum->requests.end(), status.requests.begin(), status.requests.end());
  sum->n_running += status.n_running;
  sum->n_waiting += status.n_waiting;
  sum->n_ctx = std::max(sum->n_ctx, status.n_ctx);
  sum->page_tokens = status.page_tokens;
  sum->pages_total += status.pages_total;
  sum->pages_in_use += status.pages_in_use;
  sum->pages_cached += status.pages_cached;
}

/// What is too much when `count` models of `bytes` together are loaded; empty: nothing.
std::string Excess(const ModelPoolOptions& options, uint64_t bytes, size_t count) {
  if (options.memory_bytes > 0 && bytes > options.memory_bytes) {
    return fmt::format("{} MiB, and the models may take {} together", bytes >> 20U,
                       options.memory_bytes >> 20U);
  }
  if (options.max_loaded > 0 && count > options.max_loaded) {
    return fmt::format("{} models, and {} may be loaded together", count, options.max_loaded);
  }
  return "";
}

Status CheckNames(const std::vector<ServedModel>& models) {
  std::set<std::string_view> names;
  for (const ServedModel& model : models) {
    std::vector<std::string_view> own(model.aliases.begin(), model.aliases.end());
    own.push_back(model.info.id);
    for (const std::string_view name : own) {
      if (!names.insert(name).second) {
        return Fail(ErrorCode::kInvalidArgument, "two models are called {}", Quoted(name));
      }
    }
  }
  return {};
}

}  // namespace

/// All under the pool's mutex, but for `inference` of those who hold a lease.
struct ModelPool::Entry {
  std::shared_ptr<const ServedModel> model;
  ModelState state = ModelState::kUnloaded;
  std::unique_ptr<InferenceThread> inference;  ///< when loaded
  bool leaving = false;                        ///< takes no new requests, and is then unloaded
  bool removed = false;                        ///< is no longer offered
  size_t n_leases = 0;
  size_t n_waiting = 0;  ///< requests that have not yet seen it loaded
  Clock::time_point last_asked;
  std::optional<Error> error;  ///< of the last try
  uint64_t n_loads = 0;
  uint64_t n_unloads = 0;
  uint64_t n_failures = 0;

  bool Serves() const { return inference != nullptr && !leaving; }
};

ModelPool::Lease::Lease(ModelPool* pool, std::shared_ptr<Entry> entry)
    : pool_(pool), entry_(std::move(entry)), model_(entry_->model) {
  ++entry_->n_leases;
  entry_->last_asked = Clock::now();
}

ModelPool::Lease::~Lease() {
  if (entry_ != nullptr) pool_->Release(entry_.get());
}

InferenceThread& ModelPool::Lease::inference() const { return *entry_->inference; }

ModelPool::ModelPool(RequestLog* log) : log_(log), thread_([this] { Loop(); }) {}

ModelPool::~ModelPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status ModelPool::Configure(const ModelPoolOptions& options, std::vector<ServedModel> models) {
  if (Status status = CheckNames(models); !status) return status;
  uint64_t bytes = 0;
  size_t count = 0;
  for (const ServedModel& model : models) {
    if (!model.preload) continue;
    bytes += model.memory_bytes;
    ++count;
  }
  if (const std::string excess = Excess(options, bytes, count); !excess.empty()) {
    return quern::Fail(ErrorCode::kInvalidArgument, "loaded from the start: {}", excess);
  }

  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Entry>> before = std::exchange(entries_, {});
  options_ = options;
  for (ServedModel& model : models) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const auto& entry) {
      return entry != nullptr && !entry->removed && entry->model->info.id == model.info.id &&
             entry->model->recipe == model.recipe;
    });
    std::shared_ptr<Entry> entry;
    if (same != before.end()) {
      entry = std::exchange(*same, nullptr);
      model.info.created = entry->model->info.created;
    } else {
      entry = std::make_shared<Entry>();
    }
    entry->model = std::make_shared<const ServedModel>(std::move(model));
    if (ready_ && entry->model->preload) Want(entry);
    entries_.push_back(std::move(entry));
  }
  for (const std::shared_ptr<Entry>& entry : before) {
    if (entry == nullptr) continue;
    Forget(entry.get());
    entry->removed = true;
    entry->leaving = true;
    // What is loading or loaded has still to be unloaded.
    if (entry->inference != nullptr || entry->state == ModelState::kLoading) {
      entries_.push_back(entry);
    }
  }
  changed_.notify_all();
  return {};
}

Status ModelPool::Preload() {
  std::unique_lock lock(mutex_);
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->model->preload) Want(entry);
  }
  for (const std::shared_ptr<Entry>& entry : std::vector(entries_)) {
    if (!entry->model->preload) continue;
    changed_.wait(lock, [&] { return entry->inference != nullptr || entry->error; });
    if (entry->inference == nullptr) return tl::unexpected(*entry->error);
  }
  ready_ = true;
  return {};
}

bool ModelPool::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_;
}

std::shared_ptr<ModelPool::Entry> ModelPool::Find(std::string_view name) const {
  const auto is_called = [&](const std::shared_ptr<Entry>& entry) {
    const ServedModel& model = *entry->model;
    return !entry->removed && (name.empty() || options_.any_name || model.info.id == name ||
                               std::count(model.aliases.begin(), model.aliases.end(), name) > 0);
  };
  const auto found = std::find_if(entries_.begin(), entries_.end(), is_called);
  return found != entries_.end() ? *found : nullptr;
}

void ModelPool::Want(const std::shared_ptr<Entry>& entry) {
  if (entry->Serves() || entry->state == ModelState::kLoading) return;
  if (std::find(wishes_.begin(), wishes_.end(), entry) != wishes_.end()) return;
  wishes_.push_back(entry);
  // While it is being unloaded it still shows as loaded.
  if (entry->inference == nullptr) entry->state = ModelState::kWaiting;
  changed_.notify_all();
}

void ModelPool::Forget(Entry* entry) {
  const auto is_it = [&](const std::shared_ptr<Entry>& wish) { return wish.get() == entry; };
  wishes_.erase(std::remove_if(wishes_.begin(), wishes_.end(), is_it), wishes_.end());
}

tl::expected<ModelLease, NoReply> ModelPool::Acquire(std::string_view name,
                                                     const std::function<bool()>& is_client_gone) {
  std::unique_lock lock(mutex_);
  const Clock::time_point deadline = Clock::now() + options_.load_wait;
  std::shared_ptr<Entry> entry;
  uint64_t n_failures = 0;
  while (true) {
    // A new configuration may have another one of the name.
    const std::shared_ptr<Entry> found = Find(name);
    if (found == nullptr) return tl::unexpected(Unknown(name));
    if (found != entry) {
      entry = found;
      n_failures = entry->n_failures;
    }
    if (entry->Serves()) return Lease(this, entry);
    if (closed_) return tl::unexpected(ShuttingDown());
    const std::string& id = entry->model->info.id;
    if (entry->n_failures > n_failures) {
      return tl::unexpected(HttpError{500, fmt::format("the model {} could not be loaded", id)});
    }
    Want(entry);
    if (Clock::now() >= deadline) return tl::unexpected(BeingLoaded(id));
    ++entry->n_waiting;
    changed_.wait_until(lock, std::min(deadline, Clock::now() + kClientPollInterval));
    --entry->n_waiting;
    if (is_client_gone()) return tl::unexpected(ClientGone());
  }
}

tl::expected<ModelLease, HttpError> ModelPool::AcquireLoaded(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Entry> entry = Find(name);
  if (entry == nullptr) return tl::unexpected(Unknown(name));
  if (entry->Serves()) return Lease(this, entry);
  const std::string& id = entry->model->info.id;
  if (!wishes_.empty() || entry->state == ModelState::kLoading) {
    return tl::unexpected(BeingLoaded(id));
  }
  return tl::unexpected(HttpError{503, fmt::format("the model {} is not loaded", id)});
}

std::optional<HttpError> ModelPool::Load(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Entry> entry = Find(name);
  if (entry == nullptr) return Unknown(name);
  if (closed_) return ShuttingDown();
  Want(entry);
  return std::nullopt;
}

std::optional<HttpError> ModelPool::Unload(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Entry> entry = Find(name);
  if (entry == nullptr) return Unknown(name);
  Forget(entry.get());
  if (entry->state == ModelState::kWaiting) entry->state = ModelState::kUnloaded;
  if (entry->inference != nullptr) entry->leaving = true;
  changed_.notify_all();
  return std::nullopt;
}

void ModelPool::Release(Entry* entry) {
  {
    const std::lock_guard lock(mutex_);
    --entry->n_leases;
  }
  changed_.notify_all();
}

bool ModelPool::Fits(const Entry& entry, uint64_t bytes, size_t count) const {
  return Excess(options_, bytes + entry.model->memory_bytes, count + 1).empty();
}

bool ModelPool::HasRoom(const Entry& entry) const {
  uint64_t bytes = 0;
  size_t count = 0;
  for (const std::shared_ptr<Entry>& other : entries_) {
    if (other->inference == nullptr) continue;
    bytes += other->model->memory_bytes;
    ++count;
  }
  return Fits(entry, bytes, count);
}

std::string ModelPool::Obstacle(const Entry& entry) const {
  uint64_t bytes = 0;
  size_t count = 0;
  for (const std::shared_ptr<Entry>& other : entries_) {
    if (other.get() == &entry || !other->model->preload || other->removed) continue;
    bytes += other->model->memory_bytes;
    ++count;
  }
  const std::string excess = Excess(options_, bytes + entry.model->memory_bytes, count + 1);
  return excess.empty() ? "" : "with those that stay loaded: " + excess;
}

bool ModelPool::MakeRoom(const Entry& entry) {
  uint64_t bytes = 0;
  size_t count = 0;
  for (const std::shared_ptr<Entry>& other : entries_) {
    if (!other->Serves()) continue;
    bytes += other->model->memory_bytes;
    ++count;
  }
  if (Fits(entry, bytes, count)) return false;  // once those that leave have gone
  Entry* victim = nullptr;
  for (const std::shared_ptr<Entry>& other : entries_) {
    // Those who have waited for a model get it before it can go again.
    if (!other->Serves() || other->model->preload || other->n_waiting > 0) continue;
    const auto rank = [](const Entry& e) { return std::pair(e.n_leases > 0, e.last_asked); };
    if (victim == nullptr || rank(*other) < rank(*victim)) victim = other.get();
  }
  if (victim == nullptr) return false;
  victim->leaving = true;
  return true;
}

void ModelPool::Fail(Entry* entry, Error error) {
  Log(LogLevel::kError, "model not loaded",
      {{"model", entry->model->info.id}, {"error", error.message}});
  entry->state = ModelState::kFailed;
  entry->error = std::move(error);
  ++entry->n_failures;
  changed_.notify_all();
}

void ModelPool::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!closed_) {  // else Close holds what is loaded
      const auto gone = std::find_if(entries_.begin(), entries_.end(), [](const auto& entry) {
        return entry->inference != nullptr && entry->leaving && entry->n_leases == 0;
      });
      if (gone != entries_.end()) {
        UnloadNow(lock, std::shared_ptr<Entry>(*gone));
        continue;
      }
      if (!wishes_.empty()) {
        const std::shared_ptr<Entry> entry = wishes_.front();
        const std::string obstacle = Obstacle(*entry);
        if (!obstacle.empty()) {
          wishes_.pop_front();
          Fail(entry.get(), {ErrorCode::kOutOfMemory, obstacle});
          continue;
        }
        // One that is still to be unloaded itself is loaded anew afterwards.
        if (entry->inference == nullptr && HasRoom(*entry)) {
          wishes_.pop_front();
          LoadNow(lock, entry);
          continue;
        }
        if (MakeRoom(*entry)) continue;
      }
    }
    changed_.wait(lock);
  }
}

void ModelPool::LoadNow(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry) {
  entry->state = ModelState::kLoading;
  entry->leaving = false;
  const std::shared_ptr<const ServedModel> model = entry->model;
  lock.unlock();
  const Clock::time_point start = Clock::now();
  Result<std::unique_ptr<InferenceThread>> loaded = [&] {
    try {
      return model->load(model->recipe);
    } catch (const std::bad_alloc&) {  // ends this try alone, as does what the next one catches
      return Result<std::unique_ptr<InferenceThread>>(
          quern::Fail(ErrorCode::kOutOfMemory, "no memory left to load it"));
    } catch (const std::exception& error) {  // such as a thread that cannot be started
      return Result<std::unique_ptr<InferenceThread>>(
          quern::Fail(ErrorCode::kIo, "{}", error.what()));
    }
  }();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  lock.lock();
  if (!loaded) {
    if (entry->removed) entries_.erase(std::find(entries_.begin(), entries_.end(), entry));
    return Fail(entry.get(), loaded.error());
  }
  Log(LogLevel::kInfo, "model loaded",
      {{"model", model->info.id}, {"ms", ms.count()}, {"bytes", model->memory_bytes}});
  entry->inference = *std::move(loaded);
  entry->state = ModelState::kLoaded;
  entry->error.reset();
  entry->last_asked = Clock::now();
  entry->leaving = entry->removed;
  ++entry->n_loads;
  if (closed_) entry->inference->Close(Clock::now());
  changed_.notify_all();
}

void ModelPool::UnloadNow(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry) {
  std::unique_ptr<InferenceThread> inference = std::move(entry->inference);
  AddCounts(inference->status(), &gone_);
  entry->leaving = false;
  entry->state = ModelState::kUnloaded;
  ++entry->n_unloads;
  if (entry->removed) entries_.erase(std::find(entries_.begin(), entries_.end(), entry));
  if (std::find(wishes_.begin(), wishes_.end(), entry) != wishes_.end()) {
    entry->state = ModelState::kWaiting;
  }
  const std::string id = entry->model->info.id;
  lock.unlock();
  inference.reset();
  lock.lock();
  Log(LogLevel::kInfo, "model unloaded", {{"model", id}});
  changed_.notify_all();
}

void ModelPool::Log(LogLevel level, std::string_view message,
                    const nlohmann::ordered_json& fields) const {
  if (log_ != nullptr) log_->Write(level, message, fields);
}

void ModelPool::Close(Clock::time_point deadline) {
  std::vector<InferenceThread*> open;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const std::shared_ptr<Entry>& entry : entries_) {
      if (entry->inference != nullptr) open.push_back(entry->inference.get());
    }
  }
  changed_.notify_all();
  for (InferenceThread* inference : open) inference->Close(deadline);
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLastWords, [this] {
    return std::all_of(entries_.begin(), entries_.end(),
                       [](const auto& entry) { return entry->n_leases == 0; });
  });
}

bool ModelPool::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::vector<ModelStatus> ModelPool::status() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> all;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->removed) continue;
    const ServedModel& model = *entry->model;
    all.push_back({.info = model.info,
                   .aliases = model.aliases,
                   .memory_bytes = model.memory_bytes,
                   .state = entry->state,
                   .n_leases = entry->n_leases,
                   .n_loads = entry->n_loads,
                   .n_unloads = entry->n_unloads,
                   .n_failures = entry->n_failures});
  }
  return all;
}

EngineStatus ModelPool::engine_status() const {
  const std::lock_guard lock(mutex_);
  EngineStatus sum = gone_;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->inference != nullptr) Add(entry->inference->status(), &sum);
  }
  return sum;
}

size_t ModelPool::max_requests() const {
  const std::lock_guard lock(mutex_);
  size_t n = 0;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->inference != nullptr) n += entry->inference->max_requests();
  }
  return n;
}

std::chrono::steady_clock::duration ModelPool::stalled() const {
  const std::lock_guard lock(mutex_);
  Clock::duration longest{0};
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->inference != nullptr) longest = std::max(longest, entry->inference->stalled());
  }
  return longest;
}

}  // namespace quern
