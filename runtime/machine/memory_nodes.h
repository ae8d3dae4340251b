// The machine's memory nodes (NUMA): which threads are near which memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <utility>
#include <vector>

namespace quern {

/// The nodes that have a CPU which this process may use, numbered from 0. Memory is the node's
/// whose thread writes to it first, so weights that a thread packs are near to it, and near to the
/// threads of its node that multiply with them.
class MemoryNodes {
 public:
  /// One node.
  MemoryNodes() = default;
  /// As `root`/sys tells; one node where it tells nothing. `root`: "/", or a folder with another
  /// sys/ in it.
  static MemoryNodes OfMachine(const std::filesystem::path& root = "/");

  size_t size() const { return first_cpu_.size() - 1; }
  /// The node of the CPU that the calling thread runs on.
  size_t Current() const;
  /// The share [first, second) of node `node` in n items, by its number of CPUs: contiguous, and
  /// all borders but n are multiples of `unit`.
  std::pair<size_t, size_t> Share(size_t n, size_t node, size_t unit) const;

 private:
  std::vector<size_t> node_of_cpu_;         ///< by the system's number; empty: all are node 0's
  std::vector<size_t> first_cpu_ = {0, 1};  ///< CPUs of the nodes before each, and of all
};

}  // namespace quern
