// One request on its way through the engine: its tokens, its pages, and what is still to run.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "runtime/engine/engine_status.h"
#include "runtime/engine/request.h"
#include "runtime/forward/forward_pass.h"
#include "runtime/forward/sequence.h"
#include "runtime/text/token.h"

namespace quern {

using EngineClock = std::chrono::steady_clock;

/// Tells a sink of an event; it may outlive the job. Empty: there is nothing to tell.
using Delivery = std::function<void()>;

class Job {
 public:
  /// `pool` outlives the job.
  Job(RequestId id, std::vector<Token> prompt, KvPool* pool);
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  RequestId id() const { return id_; }
  Sequence& sequence() { return sequence_; }
  RequestStatus status(bool running) const;

  /// Prompt and answer so far.
  std::span<const Token> tokens() const { return tokens_; }
  /// Those of them that are still to run.
  std::span<const Token> pending() const { return tokens().subspan(sequence_.n_past()); }
  /// Whether its next step is one row that continues an answer; else it is prefill.
  bool decoding() const { return n_generated() > 0 && pending().size() == 1; }

  /// Counts what was found in the cache, and the time that it was queued. False after the first
  /// call, which alone counts.
  bool Start();

  virtual size_t n_generated() const { return 0; }
  /// Whether rows of the prompt must run though their pages are cached.
  virtual bool needs_every_row() const = 0;
  /// Whether each row of its next part gives logits.
  virtual bool wants_every_logit() const { return false; }
  /// Whether its rows give hidden states rather than logits.
  virtual bool wants_hidden() const = 0;
  /// Its part in a batch: the next `n_tokens`.
  virtual BatchPart Part(size_t n_tokens) = 0;
  /// Takes what the part's rows gave, [rows][width] with the vocabulary or the embedding for a
  /// width, after the sequence has advanced. Nothing to tell during prefill.
  virtual Delivery Take(std::span<const float> rows, size_t width) = 0;
  /// Makes room in a context of `n_ctx` that is full, if the request allows it.
  virtual void ShiftContext(size_t /*n_ctx*/) {}
  /// Ends it before its time.
  virtual Delivery Cancel() = 0;

  bool finished() const { return finished_; }

  bool cancelled = false;
  size_t deadline = 0;  ///< its place in the queue of prefill: the least comes first

 protected:
  bool is_last_part(size_t n_tokens) const { return n_tokens == pending().size(); }

  std::vector<Token> tokens_;
  Sequence sequence_;
  PromptStats prompt_stats_;
  EngineClock::time_point started_;  ///< the clock's beginning: not yet
  bool finished_ = false;

 private:
  RequestId id_;
  EngineClock::time_point submitted_;
};

inline double SecondsBetween(EngineClock::time_point begin, EngineClock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace quern
