#include "server/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

namespace quern {
namespace {

/// Reads Prometheus's text format, and holds it to more than a server would: each family once, its
/// HELP and TYPE before its samples, no sample twice, counters and histograms that can be.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    EXPECT_TRUE(!text.empty() && text.back() == '\n');
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) ReadLine(line);
    CheckHistograms();
  }

  /// Of a sample named as in the text: `name` or `name{label="value",...}`.
  double Value(const std::string& sample) const {
    const auto found = values_.find(sample);
    EXPECT_NE(found, values_.end()) << sample;
    return found == values_.end() ? NAN : found->second;
  }
  bool Has(const std::string& sample) const { return values_.count(sample) > 0; }
  const std::map<std::string, std::string>& types() const { return types_; }

 private:
  void ReadLine(const std::string& line) {
    static const std::regex kHelp("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\\S.*)");
    static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex kSample(
        R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+))re");
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) {
      family_ = match[1];
      EXPECT_TRUE(helps_.insert(family_).second) << "twice: " << line;
    } else if (std::regex_match(line, match, kType)) {
      EXPECT_EQ(match[1], family_) << "TYPE follows HELP";
      EXPECT_TRUE(types_.emplace(match[1], match[2]).second) << "twice: " << line;
    } else if (std::regex_match(line, match, kSample)) {
      ReadSample(match[1], match[2], match[3]);
    } else {
      ADD_FAILURE() << "not a line of the format: " << line;
    }
  }

  void ReadSample(const std::string& name, const std::string& labels, const std::string& number) {
    ASSERT_EQ(types_.count(family_), 1U) << name << " before its TYPE";
    const std::string& type = types_[family_];
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    EXPECT_EQ(*end, '\0') << number;
    EXPECT_TRUE(values_.emplace(name + labels, value).second) << "twice: " << name << labels;
    if (type == "histogram") {
      ReadHistogramSample(name, labels, value);
      return;
    }
    EXPECT_EQ(name, family_);
    if (type == "counter") {
      EXPECT_GE(value, 0) << name;
    }
  }

  struct Histogram {
    std::vector<std::pair<double, double>> buckets;  ///< le, cumulative count
    double count = -1;
    double sum = -1;
  };

  void ReadHistogramSample(const std::string& name, const std::string& labels, double value) {
    static const std::regex kLe(R"re(,?le="([^"]*)")re");
    std::string rest = std::regex_replace(labels, kLe, "");
    if (rest == "{}") rest.clear();
    Histogram& histogram = histograms_[family_ + rest];
    std::smatch le;
    if (name == family_ + "_sum") {
      histogram.sum = value;
    } else if (name == family_ + "_count") {
      histogram.count = value;
    } else if (name == family_ + "_bucket" && std::regex_search(labels, le, kLe)) {
      histogram.buckets.emplace_back(std::strtod(le[1].str().c_str(), nullptr), value);
    } else {
      ADD_FAILURE() << "not of a histogram: " << name << labels;
    }
  }

  void CheckHistograms() const {
    for (const auto& [name, histogram] : histograms_) {
      ASSERT_FALSE(histogram.buckets.empty()) << name;
      for (size_t i = 1; i < histogram.buckets.size(); ++i) {
        EXPECT_GT(histogram.buckets[i].first, histogram.buckets[i - 1].first) << name;
        EXPECT_GE(histogram.buckets[i].second, histogram.buckets[i - 1].second) << name;
      }
      EXPECT_EQ(histogram.buckets.back().first, INFINITY) << name;
      EXPECT_EQ(histogram.buckets.back().second, histogram.count) << name;
      EXPECT_GE(histogram.sum, 0) << name;
    }
  }

  std::string family_;
  std::set<std::string> helps_;
  std::map<std::string, std::string> types_;
  std::map<std::string, double> values_;
  std::map<std::string, Histogram> histograms_;
};

RequestRecord Answered(const std::string& path) {
  RequestRecord record;
  record.path = path;
  record.status = 200;
  record.seconds = 3;
  return record;
}

RequestRecord Generated() {
  RequestRecord record = Answered("/v1/completions");
  record.prompt_tokens = 100;
  record.generated_tokens = 20;
  record.longest_tokens = 120;
  record.queue_seconds = 0.02;
  record.prefill_seconds = 0.3;
  record.first_token_seconds = 0.4;
  record.decode_seconds = 2.6;
  return record;
}

TEST(Metrics, CountsByModelAndRoute) {
  Metrics metrics("1");
  RequestRecord record = Generated();
  record.model = "small";
  metrics.Record(record);
  record.router = "auto";
  record.rule = "long";
  record.model = "big";
  metrics.Record(record);
  metrics.Record(record);
  const Exposition read(metrics.Expose(
      {.models = {{.info = {.id = "small"}, .memory_bytes = 70, .state = ModelState::kLoaded},
                  {.info = {.id = "big"}, .n_loads = 3, .n_unloads = 2, .n_failures = 1}}}));
  EXPECT_EQ(read.Value(R"(quern_model_requests_total{model="big",outcome="answered"})"), 2);
  EXPECT_EQ(read.Value(R"(quern_model_requests_total{model="small",outcome="answered"})"), 1);
  EXPECT_EQ(read.Value(R"(quern_model_tokens_total{kind="generated",model="big"})"), 40);
  EXPECT_EQ(read.Value(R"(quern_model_tokens_total{kind="prompt",model="small"})"), 100);
  EXPECT_EQ(read.Value(R"(quern_routed_requests_total{model="big",router="auto",rule="long"})"), 2);
  EXPECT_EQ(read.Value(R"(quern_model_loaded{model="small"})"), 1);
  EXPECT_EQ(read.Value(R"(quern_model_loaded{model="big"})"), 0);
  EXPECT_EQ(read.Value(R"(quern_model_memory_bytes{model="small"})"), 70);
  EXPECT_EQ(read.Value(R"(quern_model_loads_total{model="big"})"), 3);
  EXPECT_EQ(read.Value(R"(quern_model_unloads_total{model="big"})"), 2);
  EXPECT_EQ(read.Value(R"(quern_model_load_failures_total{model="big"})"), 1);
}

TEST(Metrics, CountsRequestsByPathStatusAndOutcome) {
  Metrics metrics("1");
  metrics.AddPath("/v1/completions");
  metrics.AddPath("/health");
  metrics.Record(Generated());
  metrics.Record(Answered("/health"));
  metrics.Record(Answered("/health"));
  metrics.Record(Answered("/random/1\"\n\\"));
  metrics.Record(Answered("/random/2"));
  RequestRecord rejected = Answered("/v1/completions");
  rejected.status = 429;
  rejected.outcome = RequestOutcome::kRejected;
  metrics.Record(rejected);
  rejected.status = 400;
  metrics.Record(rejected);
  RequestRecord cancelled = Answered("/v1/completions");
  cancelled.status = 0;
  cancelled.outcome = RequestOutcome::kCancelled;
  metrics.Record(cancelled);

  const Exposition read(metrics.Expose({}));
  const std::string name = "quern_http_requests_total";
  EXPECT_EQ(read.Value(name + R"({outcome="answered",path="/health",status="2xx"})"), 2);
  EXPECT_EQ(read.Value(name + R"({outcome="answered",path="other",status="2xx"})"), 2);
  EXPECT_EQ(read.Value(name + R"({outcome="answered",path="/v1/completions",status="2xx"})"), 1);
  EXPECT_EQ(read.Value(name + R"({outcome="rejected",path="/v1/completions",status="4xx"})"), 2);
  EXPECT_EQ(read.Value(name + R"({outcome="cancelled",path="/v1/completions",status="none"})"), 1);
  EXPECT_EQ(read.Value("quern_requests_rejected_total"), 2);
  EXPECT_EQ(read.Value("quern_requests_turned_away_total"), 1);
  EXPECT_EQ(read.Value("quern_requests_cancelled_total"), 1);
  EXPECT_EQ(read.Value(R"(quern_request_duration_seconds_count{path="/v1/completions"})"), 4);
  EXPECT_EQ(read.Value(R"(quern_request_duration_seconds_sum{path="/health"})"), 6);
}

TEST(Metrics, PutsLatenciesInBuckets) {
  Metrics metrics("1");
  metrics.AddPath("/v1/completions");
  metrics.Record(Generated());
  metrics.Record(Answered("/v1/completions"));  // without tokens: it never ran
  metrics.ObserveInterToken(0.1);
  metrics.ObserveInterToken(0.11);
  metrics.ObserveInterToken(1000);

  const Exposition read(metrics.Expose({}));
  EXPECT_EQ(read.Value("quern_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(read.Value(R"(quern_time_to_first_token_seconds_bucket{le="0.25"})"), 0);
  EXPECT_EQ(read.Value(R"(quern_time_to_first_token_seconds_bucket{le="0.5"})"), 1);
  EXPECT_EQ(read.Value("quern_request_queue_seconds_count"), 1);
  EXPECT_EQ(read.Value("quern_request_queue_seconds_sum"), 0.02);
  EXPECT_EQ(read.Value("quern_inter_token_latency_seconds_count"), 3);
  EXPECT_EQ(read.Value(R"(quern_inter_token_latency_seconds_bucket{le="0.1"})"), 1);
  EXPECT_EQ(read.Value(R"(quern_inter_token_latency_seconds_bucket{le="0.15"})"), 2);
  EXPECT_EQ(read.Value(R"(quern_inter_token_latency_seconds_bucket{le="600"})"), 2);
}

TEST(Metrics, TellsWhatTheEngineHolds) {
  EngineStatus status;
  status.requests.resize(1);
  status.requests[0].processed_tokens = 50;
  status.n_running = 3;
  status.n_waiting = 5;
  status.page_tokens = 16;
  status.pages_total = 100;
  status.pages_in_use = 30;
  status.pages_cached = 20;
  status.steps = 10;
  status.decode_steps = 10;
  status.decoded_rows = 25;
  status.prompt_tokens = 300;
  status.cached_tokens = 64;
  status.generated_tokens = 40;
  status.preemptions = 2;
  status.prefill_seconds = 1.5;
  status.decode_seconds = 4;

  Metrics metrics("0.1\"0");
  EXPECT_EQ(Exposition(metrics.Expose({})).Value("quern_requests_limit"), 0);
  const Exposition read(metrics.Expose({.engine = status, .max_requests = 80}));
  EXPECT_EQ(read.Value("llamacpp:prompt_tokens_total"), 300);
  EXPECT_EQ(read.Value("llamacpp:prompt_tokens_cached_total"), 64);
  EXPECT_EQ(read.Value("llamacpp:prompt_seconds_total"), 1.5);
  EXPECT_EQ(read.Value("llamacpp:tokens_predicted_total"), 40);
  EXPECT_EQ(read.Value("llamacpp:tokens_predicted_seconds_total"), 4);
  EXPECT_EQ(read.Value("llamacpp:n_decode_total"), 10);
  EXPECT_EQ(read.Value("llamacpp:n_tokens_max"), 50);
  EXPECT_EQ(read.Value("llamacpp:prompt_tokens_seconds"), 200);
  EXPECT_EQ(read.Value("llamacpp:predicted_tokens_seconds"), 10);
  EXPECT_EQ(read.Value("llamacpp:requests_processing"), 3);
  EXPECT_EQ(read.Value("llamacpp:requests_deferred"), 5);
  EXPECT_EQ(read.Value("quern_requests_limit"), 80);
  EXPECT_EQ(read.Value("llamacpp:n_busy_slots_per_decode"), 2.5);
  EXPECT_EQ(read.Value(R"(quern_kv_pages{state="in_use"})"), 30);
  EXPECT_EQ(read.Value(R"(quern_kv_pages{state="cached"})"), 20);
  EXPECT_EQ(read.Value(R"(quern_kv_pages{state="free"})"), 50);
  EXPECT_EQ(read.Value("quern_kv_page_tokens"), 16);
  EXPECT_EQ(read.Value("quern_preemptions_total"), 2);
  EXPECT_EQ(read.Value(R"(quern_build_info{version="0.1\"0"})"), 1);
  EXPECT_GT(read.Value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(read.Value("quern_memory_limit_bytes"), read.Value("process_resident_memory_bytes"));
  EXPECT_TRUE(read.Has("quern_memory_available_bytes"));
  EXPECT_GE(read.Value("process_open_fds"), 3);
  EXPECT_GT(read.Value("process_start_time_seconds"), 1.7e9);
}

TEST(Metrics, ThroughputsAreThoseSinceTheLastReading) {
  Metrics metrics("1");
  EngineStatus status;
  status.prompt_tokens = 1000;
  status.prefill_seconds = 10;
  EXPECT_EQ(Exposition(metrics.Expose({.engine = status})).Value("llamacpp:prompt_tokens_seconds"),
            100);
  status.prompt_tokens = 1100;
  status.prefill_seconds = 10.5;
  EXPECT_EQ(Exposition(metrics.Expose({.engine = status})).Value("llamacpp:prompt_tokens_seconds"),
            200);
  EXPECT_EQ(Exposition(metrics.Expose({.engine = status})).Value("llamacpp:prompt_tokens_seconds"),
            0);
}

TEST(Metrics, RemembersTheLongestSequence) {
  Metrics metrics("1");
  metrics.Record(Generated());
  metrics.Record(Answered("/v1/completions"));
  EXPECT_EQ(Exposition(metrics.Expose({})).Value("llamacpp:n_tokens_max"), 120);
}

TEST(Metrics, NamesFollowTheConventions) {
  Metrics metrics("1");
  metrics.AddPath("/health");
  metrics.Record(Answered("/health"));
  const Exposition read(metrics.Expose({}));
  EXPECT_GT(read.types().size(), 25U);
  for (const auto& [name, type] : read.types()) {
    const bool is_total = name.size() > 6 && name.compare(name.size() - 6, 6, "_total") == 0;
    EXPECT_EQ(is_total, type == "counter") << name;
  }
}

TEST(Metrics, ManyThreadsRecordWhileOthersRead) {
  Metrics metrics("1");
  metrics.AddPath("/health");
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < 200; ++i) {
        metrics.Record(Answered(i % 2 == 0 ? std::string("/health") : std::to_string(i)));
        metrics.ObserveInterToken(0.01);
      }
    });
  }
  for (int i = 0; i < 5; ++i) Exposition read(metrics.Expose({}));
  for (std::thread& thread : threads) thread.join();
  const Exposition read(metrics.Expose({}));
  EXPECT_EQ(read.Value(R"(quern_request_duration_seconds_count{path="/health"})"), 400);
  EXPECT_EQ(read.Value(R"(quern_request_duration_seconds_count{path="other"})"), 400);
  EXPECT_EQ(read.Value("quern_inter_token_latency_seconds_count"), 800);
}

}  // namespace
}  // namespace quern
