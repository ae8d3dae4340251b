// The loop that turns requests into tokens: admits requests, forms batches of decoding rows and
// prompt chunks, and tells what came of them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "gguf/base/result.h"
#include "kernels/attention.h"
#include "runtime/engine/embed.h"
#include "runtime/engine/engine_status.h"
#include "runtime/engine/generate.h"
#include "runtime/model/model.h"

namespace quern {

class ForwardPass;

struct EngineOptions {
  size_t n_ctx = 4096;  ///< most tokens of one request
  /// Positions of the KV pool, which all share; at least, and by default, n_ctx.
  size_t kv_tokens = 0;
  size_t max_running = 4096;  ///< most requests that run together
  int n_threads = 0;          ///< 0: AvailableThreads()
  size_t chunk_tokens = 512;  ///< most rows of one step
  KvTypes kv_types{};
  /// How many times as long a step may take for reading prompts beside running answers; 0: no
  /// limit.
  double max_stretch = 0;
  double max_step_seconds = 0;  ///< about the longest step of reading prompts; 0: no limit

  bool operator==(const EngineOptions&) const = default;
};

/// One thread owns an engine. The answer to a request does not depend on what else runs beside it.
///
/// Requests are admitted in order of arrival, as soon as the pool has pages for their prompt; only
/// those whose prompt is being read for another let others pass. They take more pages as their
/// answers grow. When none is left, the request that was admitted last is preempted: it is queued
/// again, and later goes on where it stood: its tokens are run again, which gives the same bits. A
/// request alone has all of the pool, so the one that was admitted first always goes on, and every
/// request ends.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<const Model> model,
                                                EngineOptions options);
  /// On a pass of the caller's, whose cache and most rows count before the options'. Errors:
  /// kInvalidArgument for a cache that holds less than n_ctx.
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<const Model> model,
                                                EngineOptions options,
                                                std::unique_ptr<ForwardPass> pass);
  ~Engine();

  /// Whether Submit would take this request. Errors: kInvalidArgument for an empty prompt, a token
  /// outside the vocabulary, bad sampling parameters, or a prompt that does not fit the context
  /// (with both numbers). Reads only what never changes: any thread may call it.
  Status Check(const GenerateRequest& request) const;
  Status Check(const EmbedRequest& request) const;

  /// Queues a request; `sink` is called from Step, and may call Submit and Cancel. Errors: those of
  /// Check.
  Result<RequestId> Submit(GenerateRequest request, EventSink sink);
  Result<RequestId> Submit(EmbedRequest request, EmbedSink sink);

  /// Ends a request at the next step; its sink gets a last event with kCancelled.
  void Cancel(RequestId id);

  /// Runs one batch. False when there is nothing to do.
  bool Step();

  /// Submits, steps until done, and returns the whole answer.
  Result<std::string> Generate(GenerateRequest request, const EventSink& sink = nullptr);
  /// Submits, steps until done, and returns the embedding.
  Result<Embedding> Embed(EmbedRequest request);

  const Model& model() const;
  const EngineOptions& options() const;  ///< with the defaults filled in

  /// What it holds and has done. Like Step, of the engine's thread alone.
  EngineStatus status() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
