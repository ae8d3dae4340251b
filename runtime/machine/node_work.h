// Hands out work to whoever is free: to threads of each memory node that node's share first.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <vector>

#include "runtime/machine/memory_nodes.h"

namespace quern {

/// Pieces of work, phase after phase, each in as many parts as there are nodes. A neighbour that
/// takes half of one core must not make the others wait, nor must a node whose threads are few.
class NodeWork {
 public:
  /// `nodes` outlives it.
  NodeWork(const MemoryNodes* nodes, size_t n_phases)
      : nodes_(nodes), n_phases_(n_phases), n_taken_(nodes->size() * n_phases) {}

  /// Makes all work new. Not while threads take some.
  void Reset() {
    for (std::atomic<size_t>& n_taken : n_taken_) n_taken.store(0, std::memory_order_relaxed);
  }

  /// Items [begin, end), of a node's part.
  struct Chunk {
    size_t node;
    size_t begin;
    size_t end;
  };

  /// The next chunk of phase `phase`, of the calling thread's node while it has any; nullopt after
  /// the last. `part_of(node)`: the items [first, second) of a part. `chunk_of(left)`: how many to
  /// take of that many, at least 1.
  template <typename PartOf, typename ChunkOf>
  std::optional<Chunk> Take(size_t phase, const PartOf& part_of, const ChunkOf& chunk_of) {
    const size_t own = nodes_->Current();
    for (size_t i = 0; i < nodes_->size(); ++i) {
      const size_t node = (own + i) % nodes_->size();
      const auto [first, last] = part_of(node);
      std::atomic<size_t>& n_taken = n_taken_[node * n_phases_ + phase];
      size_t taken = n_taken.load(std::memory_order_relaxed);
      while (first + taken < last) {
        const size_t left = last - first - taken;
        const size_t n = std::min(left, chunk_of(left));
        if (n_taken.compare_exchange_weak(taken, taken + n, std::memory_order_relaxed)) {
          return Chunk{node, first + taken, first + taken + n};
        }
      }
    }
    return std::nullopt;
  }

 private:
  const MemoryNodes* nodes_;
  size_t n_phases_;
  std::vector<std::atomic<size_t>> n_taken_;  ///< [node][phase]: nodes do not share cache lines
};

}  // namespace quern
