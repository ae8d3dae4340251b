// SHA-256, HMAC-SHA256, and random bytes that nobody can guess.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace quern {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(std::string_view text);
/// RFC 2104.
Sha256Digest HmacSha256(std::span<const uint8_t> key, std::string_view text);

/// In time that tells nothing of either.
bool AreEqual(const Sha256Digest& a, const Sha256Digest& b);

/// Stops the process when the machine has none, as all that is built on them would be void.
void FillRandom(std::span<uint8_t> bytes);

/// Lower case, two digits a byte.
std::string Hex(std::span<const uint8_t> bytes);
/// Fills `bytes` from as many pairs of hex digits. False when `text` is anything else.
bool ParseHex(std::string_view text, std::span<uint8_t> bytes);

}  // namespace quern
