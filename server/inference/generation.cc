#include "server/inference/generation.h"

#include <utility>

namespace quern {

std::optional<Generation::Part> Generation::Next(std::chrono::milliseconds timeout) {
  std::optional<IndexedEvent<GenerateEvent>> event = group_->Next(timeout);
  if (!event) return std::nullopt;
  return Part{event->index, builders_[event->index].Add(event->event)};
}

}  // namespace quern
