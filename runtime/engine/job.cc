#include "runtime/engine/job.h"

#include <utility>

namespace quern {

Job::Job(RequestId id, std::vector<Token> prompt, KvPool* pool)
    : tokens_(std::move(prompt)), sequence_(pool), id_(id), submitted_(EngineClock::now()) {
  prompt_stats_.prompt_tokens = tokens_.size();
}

RequestStatus Job::status(bool running) const {
  return {.id = id_,
          .phase = !running     ? RequestPhase::kWaiting
                   : decoding() ? RequestPhase::kDecode
                                : RequestPhase::kPrefill,
          .prompt_tokens = prompt_stats_.prompt_tokens,
          .cached_tokens = prompt_stats_.cached_tokens,
          .processed_tokens = sequence_.n_past(),
          .generated_tokens = n_generated()};
}

bool Job::Start() {
  if (started_ != EngineClock::time_point{}) return false;
  started_ = EngineClock::now();
  prompt_stats_.queue_seconds = SecondsBetween(submitted_, started_);
  prompt_stats_.cached_tokens = sequence_.n_past();
  return true;
}

}  // namespace quern
