#include "server/telemetry/request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <random>

namespace quern {

std::string NewRequestId() {
  std::random_device random;  // its numbers have 32 bits
  const uint64_t high = random();
  return fmt::format("{:016x}", high << 32 | random());
}

bool IsRequestId(std::string_view id) {
  constexpr size_t kMaxLength = 128;
  return !id.empty() && id.size() <= kMaxLength && std::all_of(id.begin(), id.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '\'' && c != '`' && c != '\\';
  });
}

}  // namespace quern
