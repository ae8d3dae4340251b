// The forward pass on this machine's CPUs: a team of threads goes through the layers that a model's
// description lists.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "runtime/forward/forward_pass.h"
#include "runtime/forward/kv_pool.h"
#include "runtime/machine/thread_team.h"
#include "runtime/model/model.h"

namespace quern {

class Executor final : public ForwardPass {
 public:
  struct Options {
    KvTypes kv_types{};
    size_t n_pages = 0;   ///< of the KV cache
    int n_threads = 0;    ///< 0: AvailableThreads()
    size_t max_rows = 0;  ///< of one batch
  };
  /// Errors: kOutOfMemory with what could not be had.
  static Result<std::unique_ptr<Executor>> Create(std::shared_ptr<const Model> model,
                                                  const Options& options);
  ~Executor() override;

  KvPool& pool() override;
  size_t max_rows() const override;
  std::span<const float> Forward(std::span<const BatchPart> parts) override;
  std::span<const float> hidden() const override;
  void ForEach(size_t n, const std::function<void(size_t)>& body) override;
  void SetTrace(StepTrace* trace) override;

  ThreadTeam& team();

 private:
  struct Impl;
  explicit Executor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
