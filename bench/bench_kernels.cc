// Speed of the product kernels for every weight type, beside what the machine can do at most.
//
//   Decode/TYPE    1 token, weights larger than the caches
//   InPlace/TYPE   Decode from the rows of a GGUF file, as with --load mmap
//   Batch/TYPE/N   N tokens, the same weights
//   Prefill/TYPE   512 tokens: op/s, two per multiply-add of bytes
//   Attention/K-V/DEPTH/1    one token, 4 query heads a KV head, a cache larger than L3
//   Attention/K-V/DEPTH/16   16 tokens of one KV head, as prefill shares them out: op/s, two per
//                            multiply-add of floats
//   Pack/TYPE      interleaving GGUF rows at load: GB/s of weights
//
// "of reading" and "of multiplying" are the percentages of what the same number of threads did
// just before, reading memory alone, or multiplying bytes (attention: floats) in registers alone.
// Threads split the rows, as the runtime does. The environment variable QUERN_TARGET forces a SIMD
// target.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "kernels/machine_limits.h"
#include "kernels/matmul.h"
#include "kernels/targets.h"

namespace quern {
namespace {

constexpr size_t kCols = 4096;
constexpr size_t kPrefillRows = 4096;
constexpr size_t kPrefillTokens = 512;

/// What is read from memory and not from a cache: more than the last cache holds.
size_t StreamBytes() {
  constexpr size_t kLeast = size_t{256} << 20;
  static const auto kCache = static_cast<size_t>(std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE)));
  return std::max(kLeast, 2 * kCache);
}

/// Anonymous memory in huge pages where the system gives them, as the runtime holds weights.
class Memory {
 public:
  explicit Memory(size_t n_bytes) : size_(n_bytes) {
    void* address =
        mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
      std::fprintf(stderr, "error: no memory for %zu bytes of weights\n", n_bytes);
      std::exit(1);
    }
    madvise(address, n_bytes, MADV_HUGEPAGE);
    data_ = static_cast<std::byte*>(address);
    // Bytes that are sane as half floats and floats too, wherever a type keeps them.
    std::mt19937 random(1);
    for (size_t i = 0; i < std::min(n_bytes, size_t{1} << 20); ++i) {
      data_[i] = static_cast<std::byte>(0x20 + random() % 0x1C);
    }
    for (size_t i = size_t{1} << 20; i < n_bytes; i += size_t{1} << 20) {
      std::memcpy(data_ + i, data_, std::min(n_bytes - i, size_t{1} << 20));
    }
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { munmap(data_, size_); }
  std::byte* data() const { return data_; }

 private:
  size_t size_;
  std::byte* data_ = nullptr;
};

// The data of the benchmark that runs now: its threads share it.
struct Shared {
  std::unique_ptr<Memory> weights;
  std::unique_ptr<Memory> x;
  std::vector<float> out;
};
Shared shared;

void TearDown(const benchmark::State& /*state*/) { shared = Shared(); }

/// What all threads of a benchmark together can do, in a second.
struct Limits {
  double bytes;     ///< read from memory
  double byte_ops;  ///< multiplications and additions of bytes
  double float_ops;
};
Limits limits;

/// Seconds that as many threads take to run `work`, each with its number; the best of three times.
double BestTimeOf(int n_threads, const std::function<void(int)>& work) {
  return BestTime([&] {
    std::vector<std::thread> threads;
    for (int i = 1; i < n_threads; ++i) threads.emplace_back(work, i);
    work(0);
    for (std::thread& thread : threads) thread.join();
  });
}

/// Measured beside each benchmark, as a shared machine's speed drifts.
void MeasureLimits(const benchmark::State& state) {
  static const Memory kStream(StreamBytes());
  constexpr size_t kRounds = 100000;  // some ms
  const int n_threads = state.threads();
  const size_t share = StreamBytes() / static_cast<size_t>(n_threads) / 1024 * 1024;
  const auto rate = [&](size_t products, const std::function<void()>& multiply) {
    const double n_ops = 2.0 * static_cast<double>(kRounds * products) * n_threads;
    return n_ops / BestTimeOf(n_threads, [&](int) { multiply(); });
  };
  const double read_seconds = BestTimeOf(n_threads, [&](int thread) {
    const std::byte* from = kStream.data() + share * static_cast<size_t>(thread);
    benchmark::DoNotOptimize(ReadAll(from, share));
  });
  limits.bytes = static_cast<double>(share) * n_threads / read_seconds;
  limits.byte_ops =
      rate(ProductsPerRound(), [] { benchmark::DoNotOptimize(MultiplyBytes(kRounds)); });
  limits.float_ops =
      rate(FloatProductsPerRound(), [] { benchmark::DoNotOptimize(MultiplyFloats(kRounds)); });
}

/// What all threads together read and multiplied in a round.
void CountRates(benchmark::State& state, double bytes, double ops, double ops_limit) {
  // Counters add up over threads, so each tells its share.
  const double rounds = static_cast<double>(state.iterations()) / state.threads();
  const auto count = [&](const char* name, double in_round) {
    state.counters[name] = benchmark::Counter(rounds * in_round, benchmark::Counter::kIsRate);
  };
  count("read B/s", bytes);
  count("op/s", ops);
  count("of reading", 100 * bytes / limits.bytes);
  count("of multiplying", 100 * ops / ops_limit);
}

/// Rows so that the weights take StreamBytes().
size_t StreamRows(GgmlType type) {
  return StreamBytes() / PackedGroupBytes(type, kCols) * kRowGroup;
}

void MatMulBench(benchmark::State& state, GgmlType type, WeightLayout layout, size_t n_rows,
                 size_t n_tokens) {
  const ActivationKind kind = ActivationKindOf(type);
  const size_t x_stride = ActivationRowBytes(kind, kCols);
  if (state.thread_index() == 0) {
    shared.weights = std::make_unique<Memory>(n_rows / kRowGroup * PackedGroupBytes(type, kCols));
    shared.x = std::make_unique<Memory>(n_tokens * x_stride);
    shared.out.resize(n_tokens * n_rows);
    std::vector<float> x(kCols);
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (size_t t = 0; t < n_tokens; ++t) {
      for (float& value : x) value = normal(random);
      PrepareActivations(kind, x.data(), kCols, shared.x->data() + t * x_stride);
    }
  }
  const auto thread = static_cast<size_t>(state.thread_index());
  const auto n_threads = static_cast<size_t>(state.threads());
  for ([[maybe_unused]] auto round : state) {
    MatMulArgs args = {.w = {.type = type,
                             .layout = layout,
                             .n_rows = n_rows,
                             .n_cols = kCols,
                             .data = shared.weights->data()},
                       .group_begin = 0,
                       .group_end = 0,
                       .x = shared.x->data(),
                       .x_stride = x_stride,
                       .n_tokens = n_tokens,
                       .out = shared.out.data(),
                       .out_stride = n_rows};
    args.group_begin = args.w.n_groups() * thread / n_threads;
    args.group_end = args.w.n_groups() * (thread + 1) / n_threads;
    MatMul(args);
    benchmark::ClobberMemory();
  }
  CountRates(state, static_cast<double>(n_rows * RowBytes(type, kCols)),
             2.0 * static_cast<double>(n_rows * kCols * n_tokens),
             kind == ActivationKind::kQ8 ? limits.byte_ops : limits.float_ops);
}

constexpr size_t kHeadDim = 128;
constexpr size_t kHeads = 4;    // query heads that share a KV head
constexpr size_t kKvHeads = 8;  // of a layer

/// One token attends to `depth` positions of as many heads as fill StreamBytes(), or n_tokens
/// tokens to those of one head a thread.
void AttentionBench(benchmark::State& state, KvTypes types, size_t depth, size_t n_tokens) {
  const size_t page_bytes = KvHeadPageBytes(types, kHeadDim);
  const size_t n_pages = (depth + kPageTokens - 1) / kPageTokens;
  const auto n_threads = static_cast<size_t>(state.threads());
  const size_t n_heads =
      n_tokens > 1 ? n_threads : std::max(kKvHeads, StreamBytes() / (n_pages * page_bytes));
  if (state.thread_index() == 0) {
    shared.weights = std::make_unique<Memory>(n_heads * n_pages * page_bytes);
    std::vector<float> x(kHeadDim);
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (size_t page = 0; page < n_heads * n_pages; ++page) {
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        for (float& value : x) value = normal(random);
        std::byte* head_page = shared.weights->data() + page * page_bytes;
        StoreK(types, x.data(), kHeadDim, slot, head_page);
        StoreV(types, x.data(), kHeadDim, slot, head_page);
      }
    }
  }
  const std::vector<float> q(n_tokens * kHeads * kHeadDim, 0.1F);
  std::vector<float> states(n_tokens * kHeads * AttentionStateFloats(kHeadDim));
  std::vector<const std::byte*> pages(n_pages);
  for ([[maybe_unused]] auto round : state) {
    for (auto head = static_cast<size_t>(state.thread_index()); head < n_heads; head += n_threads) {
      for (size_t page = 0; page < n_pages; ++page) {
        pages[page] = shared.weights->data() + (head * n_pages + page) * page_bytes;
      }
      const AttentionArgs args = {.types = types,
                                  .head_dim = kHeadDim,
                                  .scale = 0.1F,
                                  .q = q.data(),
                                  .q_stride = kHeads * kHeadDim,
                                  .n_tokens = n_tokens,
                                  .n_heads = kHeads,
                                  .first_position = depth - n_tokens,
                                  .pages = pages.data(),
                                  .page_offset = 0};
      for (size_t split = 0; split < SplitsAt(depth - 1); ++split) {
        AttendSplit(args, split, states.data());
        benchmark::ClobberMemory();
      }
    }
  }
  CountRates(state, static_cast<double>(n_heads * n_pages * page_bytes),
             4.0 * static_cast<double>(n_heads * kHeads * n_tokens * depth * kHeadDim),
             limits.float_ops);
}

void PackBench(benchmark::State& state, GgmlType type) {
  const size_t group_bytes = PackedGroupBytes(type, kCols);
  // Group after group, as at load: none is in the caches yet.
  const size_t stream_bytes = StreamBytes() / group_bytes * group_bytes;
  const Memory from(stream_bytes);
  const Memory to(stream_bytes);
  size_t at = 0;
  for ([[maybe_unused]] auto round : state) {
    PackGroup(type, kCols, kRowGroup, from.data() + at, to.data() + at);
    benchmark::ClobberMemory();
    at += group_bytes;
    if (at == stream_bytes) at = 0;
  }
  state.counters["read B/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(group_bytes),
                         benchmark::Counter::kIsRate);
}

void PrepareBench(benchmark::State& state) {
  std::vector<float> x(kCols, 1.0F);
  const Memory row(ActivationRowBytes(ActivationKind::kQ8, kCols));
  for ([[maybe_unused]] auto round : state) {
    PrepareActivations(ActivationKind::kQ8, x.data(), kCols, row.data());
    benchmark::ClobberMemory();
  }
}

void Configure(benchmark::internal::Benchmark* bench) {
  bench->Threads(1)->UseRealTime()->Unit(benchmark::kMillisecond);
  const auto n_cpus = static_cast<int>(std::thread::hardware_concurrency());
  if (n_cpus > 1) bench->Threads(n_cpus);
  bench->Setup(MeasureLimits)->Teardown(TearDown);
}

void RegisterAll() {
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("PrepareActivations", PrepareBench);
  for (const GgmlType type : RunnableTypes()) {
    const std::string name(NameOf(type));
    const auto add = [&](const std::string& bench, size_t n_rows, size_t n_tokens,
                         WeightLayout layout = WeightLayout::kInterleaved) {
      Configure(RegisterBenchmark(bench.c_str(), [=](benchmark::State& state) {
        MatMulBench(state, type, layout, n_rows, n_tokens);
      }));
    };
    add("Decode/" + name, StreamRows(type), 1);
    add("InPlace/" + name, StreamRows(type), 1, WeightLayout::kRows);
    for (const size_t n_tokens : {2, 3, 4, 5, 8, 12, 16, 32}) {
      add("Batch/" + name + "/" + std::to_string(n_tokens), StreamRows(type), n_tokens);
    }
    add("Prefill/" + name, kPrefillRows, kPrefillTokens);
    RegisterBenchmark(("Pack/" + name).c_str(),
                      [=](benchmark::State& state) { PackBench(state, type); });
  }
  const std::pair<const char*, KvTypes> caches[] = {{"F16-F16", KvType::kF16},
                                                    {"BF16-BF16", KvType::kBF16},
                                                    {"F32-F32", KvType::kF32},
                                                    {"Q8_0-Q8_0", KvType::kQ8},
                                                    {"Q8_0-F16", {KvType::kQ8, KvType::kF16}}};
  for (const auto& [name, types] : caches) {
    for (const size_t depth : {4096, 32768}) {
      for (const size_t n_tokens : {1, 16}) {
        const std::string bench = fmt::format("Attention/{}/{}/{}", name, depth, n_tokens);
        Configure(RegisterBenchmark(bench.c_str(), [=, types = types](benchmark::State& state) {
          AttentionBench(state, types, depth, n_tokens);
        }));
      }
    }
  }
}

}  // namespace
}  // namespace quern

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (const auto status = quern::ForceTargetOfEnvironment(); !status) {
    std::fprintf(stderr, "error: %s\n", status.error().message.c_str());
    return 1;
  }
  benchmark::AddCustomContext("target", quern::ChosenTarget());
  quern::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
