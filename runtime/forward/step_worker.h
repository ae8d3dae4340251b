// One thread's way through a step: how work is shared out, and where threads wait for one another.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "runtime/forward/step_buffers.h"
#include "runtime/forward/step_trace.h"
#include "runtime/machine/memory_nodes.h"
#include "runtime/machine/node_work.h"
#include "runtime/machine/thread_team.h"

namespace quern {

/// A step is a row of phases, in the same order on every thread. A phase is shared out among the
/// threads, and ends when all of it is done: what it wrote is then visible to all.
class StepWorker {
 public:
  /// `work`: a phase for each call of a ForEach; `trace` may be null. All outlive the worker.
  StepWorker(TeamMember* member, const MemoryNodes* nodes, NodeWork* work, ThreadScratch* own,
             StepTrace* trace)
      : member_(member), nodes_(nodes), work_(work), own_(own), trace_(trace) {}

  ThreadScratch& own() const { return *own_; }
  bool is_first() const { return member_->index() == 0; }
  /// Whether what comes now was done before this thread joined the team.
  bool is_late() const { return member_->is_late(); }

  /// What the thread does from now on, for the trace.
  void Enter(StepOp op) const {
    if (trace_ != nullptr && !is_late()) trace_->Begin(member_->index(), op, layer_);
  }
  void EnterLayer(size_t layer) { layer_ = static_cast<int>(layer); }
  void LeaveLayers() { layer_ = StepTrace::kNoLayer; }
  void End() const {
    if (trace_ != nullptr) trace_->End(member_->index());
  }

  /// A phase: body(i) for each i of [0, n), an equal share for each thread. For work that takes the
  /// same time everywhere.
  template <typename Body>
  void ForEachOfShare(size_t n, const Body& body) {
    const auto [begin, end] = member_->Share(n);
    for (size_t i = begin; i < end; ++i) body(i);
    Meet();
  }

  /// A phase: body(chunk) for the items of each memory node, in chunks of a multiple of `unit` to
  /// whoever is free: a third of a thread's share of what is left at a time, so that the last ones
  /// are small and nobody waits long. `part_of(node)`: the items [first, second) of a node.
  template <typename PartOf, typename Body>
  void ForEachChunk(size_t unit, const PartOf& part_of, const Body& body) {
    const size_t phase = phase_++;
    const size_t n_threads =
        std::max<size_t>(1, static_cast<size_t>(member_->size()) / nodes_->size());
    const auto chunk_of = [&](size_t left) { return (left / (3 * unit * n_threads) + 1) * unit; };
    while (const auto chunk = work_->Take(phase, part_of, chunk_of)) body(*chunk);
    Meet();
  }

  /// A phase: body(i) for each i of [0, n), which are no node's, in such chunks.
  template <typename Body>
  void ForEachTask(size_t n, const Body& body) {
    const auto part_of = [&](size_t node) {
      return std::pair<size_t, size_t>(0, node == 0 ? n : 0);
    };
    ForEachChunk(1, part_of, [&](const NodeWork::Chunk& chunk) {
      for (size_t i = chunk.begin; i < chunk.end; ++i) body(i);
    });
  }

 private:
  void Meet() {
    Enter(StepOp::kWait);
    member_->Barrier();
  }

  TeamMember* member_;
  const MemoryNodes* nodes_;
  NodeWork* work_;
  ThreadScratch* own_;
  StepTrace* trace_;
  int layer_ = StepTrace::kNoLayer;
  size_t phase_ = 0;  ///< of those that are handed out dynamically
};

}  // namespace quern
