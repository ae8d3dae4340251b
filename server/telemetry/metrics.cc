#include "server/telemetry/metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <utility>

#include "runtime/machine/process_memory.h"

namespace quern {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Buckets = prometheus::Histogram::BucketBoundaries;

/// Seconds: from an answer to a probe to a long prompt on a slow CPU.
const Buckets& RequestBuckets() {
  static const Buckets kBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                   1,     2.5,    5,     10,   30,    60,   120, 300,  600};
  return kBuckets;
}

/// Seconds: steps of at most 1.5 between 10 ms and 1 s, where the decoding of models lies, so that
/// a stall of twice the usual time is seen.
const Buckets& InterTokenBuckets() {
  static const Buckets kBuckets = {0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03,
                                   0.045, 0.06,  0.08,  0.1,   0.15,   0.2,  0.3,   0.45, 0.6,
                                   0.8,   1,     1.5,   2.5,   5,      10,   30,    60,   600};
  return kBuckets;
}

/// "2xx" for 200 to 299; a client may be gone before there is a status.
std::string StatusClass(int status) {
  return status >= 100 && status < 600 ? fmt::format("{}xx", status / 100) : "none";
}

MetricFamily Gauge(std::string name, std::string help, double value) {
  ClientMetric metric;
  metric.gauge.value = value;
  return {std::move(name), std::move(help), MetricType::Gauge, {std::move(metric)}};
}

MetricFamily Counter(std::string name, std::string help, double value) {
  ClientMetric metric;
  metric.counter.value = value;
  return {std::move(name), std::move(help), MetricType::Counter, {std::move(metric)}};
}

ClientMetric LabelledCounter(std::string label, std::string label_value, double value) {
  ClientMetric metric;
  metric.label = {{std::move(label), std::move(label_value)}};
  metric.counter.value = value;
  return metric;
}

ClientMetric LabelledGauge(std::string label, std::string label_value, double value) {
  ClientMetric metric;
  metric.label = {{std::move(label), std::move(label_value)}};
  metric.gauge.value = value;
  return metric;
}

/// Open file descriptors of this process, but for the one that counts them.
size_t CountOpenFiles() {
  std::error_code error;
  size_t n = 0;
  for (std::filesystem::directory_iterator file("/proc/self/fd", error), end; !error && file != end;
       file.increment(error)) {
    ++n;
  }
  return n > 0 ? n - 1 : 0;
}

double SecondsSince1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

/// What is counted as it happens; all else is read when it is asked for.
struct Metrics::Recorded {
  prometheus::Registry registry;
  std::set<std::string, std::less<>> paths;
  std::atomic<size_t> longest_sequence{0};

  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("quern_http_requests_total")
                                                          .Help("HTTP requests that have ended.")
                                                          .Register(registry);
  prometheus::Counter& rejected = prometheus::BuildCounter()
                                      .Name("quern_requests_rejected_total")
                                      .Help("Requests turned away: bad, unauthorized, or too many.")
                                      .Register(registry)
                                      .Add({});
  prometheus::Counter& turned_away = prometheus::BuildCounter()
                                         .Name("quern_requests_turned_away_total")
                                         .Help("Of the rejected: with 429.")
                                         .Register(registry)
                                         .Add({});
  prometheus::Counter& cancelled = prometheus::BuildCounter()
                                       .Name("quern_requests_cancelled_total")
                                       .Help("Requests whose clients went away.")
                                       .Register(registry)
                                       .Add({});
  prometheus::Family<prometheus::Histogram>& duration =
      prometheus::BuildHistogram()
          .Name("quern_request_duration_seconds")
          .Help("From the first byte of a request to the last of its answer.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& model_requests =
      prometheus::BuildCounter()
          .Name("quern_model_requests_total")
          .Help("Requests that came to a model and have ended.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& model_tokens =
      prometheus::BuildCounter()
          .Name("quern_model_tokens_total")
          .Help("Tokens of requests that have ended: of prompts, and generated.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& routed =
      prometheus::BuildCounter()
          .Name("quern_routed_requests_total")
          .Help("Requests for which a router chose the model, by the rule that it chose by.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& screened =
      prometheus::BuildCounter()
          .Name("quern_prompts_screened_total")
          .Help("Requests in whose prompts a rule of screening found something, or gave up.")
          .Register(registry);
  prometheus::Histogram& queue = prometheus::BuildHistogram()
                                     .Name("quern_request_queue_seconds")
                                     .Help("From the arrival of a prompt to its first step.")
                                     .Register(registry)
                                     .Add({}, RequestBuckets());
  prometheus::Histogram& first_token =
      prometheus::BuildHistogram()
          .Name("quern_time_to_first_token_seconds")
          .Help("From the arrival of a prompt to the first token of its answer.")
          .Register(registry)
          .Add({}, RequestBuckets());
  prometheus::Histogram& inter_token = prometheus::BuildHistogram()
                                           .Name("quern_inter_token_latency_seconds")
                                           .Help("From one token of an answer to the next.")
                                           .Register(registry)
                                           .Add({}, InterTokenBuckets());
};

Metrics::Metrics(std::string version)
    : version_(std::move(version)),
      start_time_(SecondsSince1970()),
      recorded_(std::make_unique<Recorded>()) {}

Metrics::~Metrics() = default;

void Metrics::AddPath(const std::string& path) { recorded_->paths.insert(path); }

void Metrics::Record(const RequestRecord& record) {
  const std::string path = recorded_->paths.count(record.path) > 0 ? record.path : "other";
  recorded_->requests
      .Add({{"path", path},
            {"status", StatusClass(record.status)},
            {"outcome", OutcomeName(record.outcome)}})
      .Increment();
  recorded_->duration.Add({{"path", path}}, RequestBuckets()).Observe(record.seconds);
  if (record.outcome == RequestOutcome::kRejected) recorded_->rejected.Increment();
  if (record.status == 429) recorded_->turned_away.Increment();
  if (record.outcome == RequestOutcome::kCancelled) recorded_->cancelled.Increment();
  // A request that left the queue without a step has no time to its first.
  if (record.prefill_seconds > 0) recorded_->queue.Observe(record.queue_seconds);
  if (record.generated_tokens > 0) recorded_->first_token.Observe(record.first_token_seconds);

  for (const ScreenedRule& rule : record.screened) {
    recorded_->screened.Add({{"rule", rule.name}, {"action", ActionName(rule.action)}}).Increment();
  }
  if (!record.model.empty()) RecordModel(record);

  const size_t length = record.longest_tokens;
  size_t longest = recorded_->longest_sequence;
  while (length > longest && !recorded_->longest_sequence.compare_exchange_weak(longest, length)) {
  }
}

void Metrics::RecordModel(const RequestRecord& record) {
  recorded_->model_requests.Add({{"model", record.model}, {"outcome", OutcomeName(record.outcome)}})
      .Increment();
  for (const auto& [kind, n] :
       {std::pair{"prompt", record.prompt_tokens}, {"generated", record.generated_tokens}}) {
    recorded_->model_tokens.Add({{"model", record.model}, {"kind", kind}})
        .Increment(static_cast<double>(n));
  }
  if (record.router.empty()) return;
  recorded_->routed.Add({{"router", record.router}, {"rule", record.rule}, {"model", record.model}})
      .Increment();
}

void Metrics::ObserveInterToken(double seconds) { recorded_->inter_token.Observe(seconds); }

double Metrics::Throughput(Work* before, Work now) {
  const Work last = std::exchange(*before, now);
  if (now.tokens <= last.tokens || now.seconds <= last.seconds) return 0;
  return static_cast<double>(now.tokens - last.tokens) / (now.seconds - last.seconds);
}

std::string Metrics::Expose(const ServerStatus& server) {
  const EngineStatus& status = server.engine;
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  double prompt_throughput = 0;
  double answer_throughput = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    prompt_throughput = Throughput(&prompts_, {status.prompt_tokens, status.prefill_seconds});
    answer_throughput = Throughput(&answers_, {status.generated_tokens, status.decode_seconds});
  }
  size_t longest = recorded_->longest_sequence;
  for (const RequestStatus& request : status.requests) {
    longest = std::max(longest, request.processed_tokens);
  }
  const auto of_models =
      [&](std::string name, std::string help, MetricType type,
          const std::function<uint64_t(const ModelStatus&)>& value) -> MetricFamily {
    std::vector<ClientMetric> metrics;
    for (const ModelStatus& model : server.models) {
      const double read = number(value(model));
      metrics.push_back(type == MetricType::Gauge ? LabelledGauge("model", model.info.id, read)
                                                  : LabelledCounter("model", model.info.id, read));
    }
    return {std::move(name), std::move(help), type, std::move(metrics)};
  };
  const size_t pages_taken = status.pages_in_use + status.pages_cached;
  const double rows_per_step =
      status.decode_steps > 0 ? number(status.decoded_rows) / number(status.decode_steps) : 0;
  const ProcessMemory memory = ReadProcessMemory();

  std::vector<MetricFamily> families = recorded_->registry.Collect();
  const std::vector<MetricFamily> read = {
      Counter("llamacpp:prompt_tokens_total", "Prompt tokens computed, without cached ones.",
              number(status.prompt_tokens)),
      Counter("llamacpp:prompt_tokens_cached_total", "Prompt tokens found in the prefix cache.",
              number(status.cached_tokens)),
      Counter("llamacpp:prompt_seconds_total", "Time spent on prompts.", status.prefill_seconds),
      Counter("llamacpp:tokens_predicted_total", "Tokens generated.",
              number(status.generated_tokens)),
      Counter("llamacpp:tokens_predicted_seconds_total", "Time spent on generating tokens.",
              status.decode_seconds),
      Counter("llamacpp:n_decode_total", "Steps of the engine.", number(status.steps)),
      Gauge("llamacpp:n_tokens_max", "Tokens of the longest sequence so far.", number(longest)),
      Gauge("llamacpp:prompt_tokens_seconds", "Prompt tokens per second since the last reading.",
            prompt_throughput),
      Gauge("llamacpp:predicted_tokens_seconds",
            "Generated tokens per second since the last reading.", answer_throughput),
      Gauge("llamacpp:requests_processing", "Requests that run.", number(status.n_running)),
      Gauge("llamacpp:requests_deferred", "Requests that wait.", number(status.n_waiting)),
      Gauge("llamacpp:n_busy_slots_per_decode", "Decoding sequences per step, on average.",
            rows_per_step),
      {"quern_kv_pages",
       "Pages of the KV cache: in use by running requests, kept by the prefix cache alone, free.",
       MetricType::Gauge,
       {LabelledGauge("state", "in_use", number(status.pages_in_use)),
        LabelledGauge("state", "cached", number(status.pages_cached)),
        LabelledGauge("state", "free",
                      number(status.pages_total - std::min(status.pages_total, pages_taken)))}},
      Gauge("quern_kv_page_tokens", "Tokens of a page.", number(status.page_tokens)),
      Counter("quern_preemptions_total", "Running requests put back for want of pages.",
              number(status.preemptions)),
      Counter("quern_audit_lines_lost_total", "Lines of the audit log that could not be written.",
              number(server.n_audit_lost)),
      Gauge("quern_requests_limit", "Most requests that run and wait together.",
            number(server.max_requests)),
      of_models(
          "quern_model_loaded", "1 while the model is loaded.", MetricType::Gauge,
          [](const ModelStatus& model) { return model.state == ModelState::kLoaded ? 1 : 0; }),
      of_models("quern_model_memory_bytes", "What the model takes when it is loaded.",
                MetricType::Gauge, [](const ModelStatus& model) { return model.memory_bytes; }),
      of_models("quern_model_loads_total", "How often the model was loaded.", MetricType::Counter,
                [](const ModelStatus& model) { return model.n_loads; }),
      of_models("quern_model_unloads_total", "How often the model was unloaded.",
                MetricType::Counter, [](const ModelStatus& model) { return model.n_unloads; }),
      of_models("quern_model_load_failures_total", "How often the model could not be loaded.",
                MetricType::Counter, [](const ModelStatus& model) { return model.n_failures; }),
      Gauge("quern_memory_limit_bytes",
            "The machine's RAM or the tightest cgroup limit, whichever is less.",
            number(memory.limit)),
      Gauge("quern_memory_available_bytes", "Memory that can still be taken.",
            number(memory.available)),
      {"quern_build_info",
       "Always 1; its label tells the version.",
       MetricType::Gauge,
       {LabelledGauge("version", version_, 1)}},
      Gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
            number(memory.resident)),
      Gauge("process_open_fds", "Open file descriptors.", number(CountOpenFiles())),
      Gauge("process_start_time_seconds", "When the server started, in seconds since 1970.",
            start_time_),
  };
  families.insert(families.end(), read.begin(), read.end());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace quern
