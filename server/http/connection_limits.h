// What one client may take of the server's time and memory.
#pragma once

#include <chrono>
#include <cstddef>

namespace quern {

struct ConnectionLimits {
  /// From the first byte of a request to the end of its head: one packet from an honest client.
  std::chrono::milliseconds head{10'000};
  /// From there to the end of its body.
  std::chrono::milliseconds body{60'000};
  /// Before a connection's first request and between requests.
  std::chrono::milliseconds idle{30'000};
  /// For one piece of an answer, and a second more for every 16 KiB of it.
  std::chrono::milliseconds write{30'000};
  size_t max_head_bytes = size_t{32} << 10;
  size_t max_head_fields = 100;
  size_t max_body_bytes = size_t{16} << 20;
  /// Connections, each with a thread of its own; one more takes the place of one that has kept the
  /// server waiting, or is rejected.
  size_t max_connections = 512;
};

}  // namespace quern
