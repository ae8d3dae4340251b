// Text from a file made fit for a terminal or a message: one line of valid UTF-8 without control
// characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quern {

/// Length of the well-formed UTF-8 sequence that `text` starts with (RFC 3629), or 0 where it
/// starts with none.
size_t Utf8SequenceLength(std::string_view text);

/// `text` with control characters, bidirectional overrides, backslashes and bytes that are not
/// UTF-8 escaped (`\n`, `\x1b`); what exceeds `max_bytes` of the input is cut and replaced by
/// `...`.
std::string Printable(std::string_view text, size_t max_bytes = 80);

/// Printable() between single quotes, which are escaped inside.
std::string Quoted(std::string_view text, size_t max_bytes = 80);

}  // namespace quern
