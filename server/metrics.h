// What a Prometheus server reads about this one: counts and latencies of requests, the state of the
// engine, and the process.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/engine_status.h"
#include "server/request_record.h"

namespace quern {

/// Thread-safe; no call waits for the inference thread.
class Metrics {
 public:
  /// `paths`: those that requests are counted by; all others are counted as "other".
  Metrics(std::string version, const std::vector<std::string>& paths);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// At the end of each HTTP request.
  void Record(const RequestRecord& record);

  /// Once there is a model: most requests that run and wait together.
  void SetRequestsLimit(size_t n);

  /// For each token of an answer after its first: the time since the one before.
  void ObserveInterToken(double seconds);

  /// All metrics in Prometheus's text format, version 0.0.4. Those with the prefix `llamacpp:` have
  /// llama-server's names and meanings. Throughputs are those since the call before, as there.
  /// `n_audit_lost`: lines of the audit log so far.
  std::string Expose(const EngineStatus& status, uint64_t n_audit_lost = 0);

 private:
  struct Recorded;

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
