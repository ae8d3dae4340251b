// What a Prometheus server reads about this one: counts and latencies of requests, the state of the
// engine, and the process.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/engine/engine_status.h"
#include "server/api/model_status.h"
#include "server/telemetry/request_record.h"

namespace quern {

/// What is read when the metrics are.
struct ServerStatus {
  EngineStatus engine{};
  size_t max_requests = 0;    ///< most that run and wait together
  uint64_t n_audit_lost = 0;  ///< lines of the audit log so far
  std::vector<ModelStatus> models{};
};

/// Thread-safe but for AddPath; no call waits for the inference thread.
class Metrics {
 public:
  explicit Metrics(std::string version);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// Requests are counted by those paths that are added, and by "other". Before all else.
  void AddPath(const std::string& path);

  /// At the end of each HTTP request.
  void Record(const RequestRecord& record);

  /// For each token of an answer after its first: the time since the one before.
  void ObserveInterToken(double seconds);

  /// All metrics in Prometheus's text format, version 0.0.4. Those with the prefix `llamacpp:` have
  /// llama-server's names and meanings. Throughputs are those since the call before, as there.
  std::string Expose(const ServerStatus& server);

 private:
  struct Recorded;
  void RecordModel(const RequestRecord& record);

  /// Tokens and the time that they took, up to the call of Expose before.
  struct Work {
    uint64_t tokens = 0;
    double seconds = 0;
  };
  /// Tokens per second from `before` to `now`, which takes its place; 0 when there were none.
  static double Throughput(Work* before, Work now);

  const std::string version_;
  const double start_time_;  ///< seconds since 1970
  const std::unique_ptr<Recorded> recorded_;
  std::mutex mutex_;
  Work prompts_;  ///< under mutex_
  Work answers_;  ///< under mutex_
};

}  // namespace quern
