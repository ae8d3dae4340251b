// The name of a request in headers, logs and traces.
#pragma once

#include <string>
#include <string_view>

namespace quern {

/// 16 random hexadecimal digits.
std::string NewRequestId();

/// May a client's own X-Request-Id be used? 1 to 128 printable ASCII characters without spaces,
/// quotes and backslashes, so that it can stand in a header and a log as it is.
bool IsRequestId(std::string_view id);

}  // namespace quern
