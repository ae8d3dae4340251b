// The models that the server offers: loads them when they are asked for, and unloads those unused
// for longest when memory runs out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine_status.h"
#include "server/http/http_error.h"
#include "server/inference/served_model.h"
#include "server/telemetry/request_log.h"

namespace quern {

struct ModelPoolOptions {
  uint64_t memory_bytes = 0;  ///< of all loaded models together; 0: no limit
  size_t max_loaded = 0;      ///< models that are loaded together; 0: no limit
  /// How long a request waits for its model to be loaded, before it is told to come back.
  std::chrono::milliseconds load_wait{0};
  bool any_name = false;  ///< a single model answers to every name
};

/// One thread loads and unloads, a model at a time, in the order in which they were first asked
/// for. Room is made by the model unused for longest; where all are in use, by the one asked for
/// longest ago, which ends the answers under way and takes no new ones: nobody waits for ever.
/// Thread-safe.
class ModelPool {
  struct Entry;

 public:
  /// A loaded model, which stays so until this goes.
  class Lease {
   public:
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();

    InferenceThread& inference() const;
    const ServedModel& model() const { return *model_; }

   private:
    friend class ModelPool;
    Lease(ModelPool* pool, std::shared_ptr<Entry> entry);

    ModelPool* pool_;
    std::shared_ptr<Entry> entry_;  ///< null when moved from
    std::shared_ptr<const ServedModel> model_;
  };

  /// `log` may be null; else it outlives the pool.
  explicit ModelPool(RequestLog* log = nullptr);
  /// After all leases.
  ~ModelPool();
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  /// Offers `models`, the first where a request names none, in place of those before. One whose
  /// recipe is as before stays as it is; others finish their answers and go. Errors:
  /// kInvalidArgument when two have one name, or when those to be loaded from the start exceed a
  /// limit; then all stays as it was.
  Status Configure(const ModelPoolOptions& options, std::vector<ServedModel> models);

  /// Loads what is to be loaded from the start; the pool is ready afterwards. Errors: that of the
  /// first that cannot be.
  Status Preload();
  bool ready() const;

  /// The model called `name`, loaded now if need be; the first model for "". Errors: 404 for an
  /// unknown name; 503 while it is being loaded for longer than a request waits, and after Close;
  /// 500 when it cannot be loaded; ClientGone once `is_client_gone` says so.
  tl::expected<Lease, NoReply> Acquire(std::string_view name,
                                       const std::function<bool()>& is_client_gone);
  /// The same for what never loads a model: 503 when it is not loaded.
  tl::expected<Lease, HttpError> AcquireLoaded(std::string_view name);

  /// Has a model loaded. Errors: 404, and 503 after Close.
  std::optional<HttpError> Load(std::string_view name);
  /// Has a model unloaded, after its answers under way. Errors: 404.
  std::optional<HttpError> Unload(std::string_view name);

  /// Takes no more requests, gives those under way until `deadline`, and then cancels them; their
  /// clients have a moment to hear of it. Once.
  void Close(std::chrono::steady_clock::time_point deadline);
  bool closed() const;

  std::vector<ModelStatus> status() const;
  /// Of all models together, with what unloaded ones have counted.
  EngineStatus engine_status() const;
  /// Most requests that run and wait together, of the models that are loaded.
  size_t max_requests() const;
  /// As InferenceThread's, the longest.
  std::chrono::steady_clock::duration stalled() const;

 private:
  using Clock = std::chrono::steady_clock;

  // All under mutex_.
  std::shared_ptr<Entry> Find(std::string_view name) const;
  void Want(const std::shared_ptr<Entry>& entry);
  void Forget(Entry* entry);
  bool Fits(const Entry& entry, uint64_t bytes, size_t count) const;
  bool HasRoom(const Entry& entry) const;
  /// Picks a model that has to go for `entry`. False when none can be picked now.
  bool MakeRoom(const Entry& entry);
  /// What keeps `entry` from ever being loaded; empty: nothing.
  std::string Obstacle(const Entry& entry) const;
  void Fail(Entry* entry, Error error);

  void Loop();
  void LoadNow(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry);
  void UnloadNow(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry);
  void Release(Entry* entry);
  void Log(LogLevel level, std::string_view message, const nlohmann::ordered_json& fields) const;

  RequestLog* log_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  ModelPoolOptions options_;                     ///< under mutex_
  std::vector<std::shared_ptr<Entry>> entries_;  ///< under mutex_; as configured, then leaving ones
  std::deque<std::shared_ptr<Entry>> wishes_;    ///< under mutex_; to be loaded
  EngineStatus gone_;                            ///< under mutex_; counts of models that have left
  bool ready_ = false;                           ///< under mutex_
  bool closed_ = false;                          ///< under mutex_
  bool stopping_ = false;                        ///< under mutex_
  std::thread thread_;
};

using ModelLease = ModelPool::Lease;

}  // namespace quern
