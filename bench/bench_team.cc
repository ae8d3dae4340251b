// What threads pay for working together: for meeting at a barrier, and for a step's begin and end.
//
//   Barrier/THREADS   from one barrier to the next, without any work
//   Run/THREADS       workers gather, meet nowhere, and go: once a forward pass
//
// A layer of a forward pass has five barriers.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <set>

#include "runtime/machine/thread_team.h"

namespace quern {
namespace {

void Barrier(benchmark::State& state) {
  constexpr int kBarriers = 10'000;
  ThreadTeam team(static_cast<int>(state.range(0)));
  int most_members = 0;
  for ([[maybe_unused]] auto round : state) {
    team.Run([&](TeamMember& member) {
      for (int i = 0; i < kBarriers; ++i) member.Barrier();
      if (member.index() == 0) most_members = std::max(most_members, member.size());
    });
  }
  state.counters["members"] = most_members;
  state.counters["barrier"] = benchmark::Counter(
      kBarriers, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void Run(benchmark::State& state) {
  ThreadTeam team(static_cast<int>(state.range(0)));
  for ([[maybe_unused]] auto round : state) {
    team.Run([](TeamMember& /*member*/) {});
  }
}

void RegisterAll() {
  std::set<int> counts = {AvailableThreads()};
  for (int n = 1; n < AvailableThreads(); n *= 2) counts.insert(n);
  for (const int n : counts) {
    benchmark::RegisterBenchmark("Barrier", Barrier)->Arg(n)->UseRealTime();
    benchmark::RegisterBenchmark("Run", Run)->Arg(n)->UseRealTime();
  }
}

}  // namespace
}  // namespace quern

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  quern::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
