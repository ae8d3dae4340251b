// The bytes of a connection, as they are or through TLS; nothing here waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace quern {

class Transport {
 public:
  enum class State : uint8_t {
    kMoved,      ///< `n` bytes, one at least
    kWantRead,   ///< none until the socket is readable
    kWantWrite,  ///< none until the socket is writable
    kEnded,      ///< none ever: the client has left, or broke the protocol
  };
  struct Moved {
    State state;
    size_t n = 0;
  };

  virtual ~Transport() = default;

  virtual Moved Receive(std::span<char> into) = 0;
  virtual Moved Send(std::string_view bytes) = 0;
  /// Whether Receive may have bytes although the socket has none.
  virtual bool HasPending() const { return false; }
  /// Tells the client that nothing more is sent.
  virtual void EndSending() = 0;
  /// Makes the socket show, to one that looks at it alone, whether the client has left.
  virtual void ShowEnd() {}
  /// Whether Receive ended because the client speaks HTTP without the TLS that is spoken here. From
  /// then on bytes are sent and received as they are.
  virtual bool MissesTls() const { return false; }
};

/// Bytes as they are. The socket stays the caller's.
std::unique_ptr<Transport> PlainTransport(int socket);

}  // namespace quern
