// Errors as values: Error, Result<T> and Status, which every fallible function of Quern returns.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace quern {

/// What kind of thing went wrong; callers map it to an exit code or an HTTP status once.
enum class ErrorCode {
  kInvalidArgument,  ///< the caller asked for something that makes no sense
  kContextExceeded,  ///< a prompt that is longer than the context
  kNotFound,         ///< a file, key, tensor or name does not exist
  kCorruptFile,      ///< bytes that break their own format
  kUnsupported,      ///< well-formed, but not something Quern runs
  kOutOfMemory,      ///< it does not fit the memory or the budget given
  kBusy,             ///< a queue is full; the same may pass later
  kIo,               ///< the operating system refused a read, write or map
  kCancelled,        ///< stopped on request
};

/// One line for a person: what was found, what was expected, and where.
struct Error {
  ErrorCode code;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Builds the error value of any Result: `return Fail(ErrorCode::kNotFound, "no tensor '{}'",
/// name);`
template <typename... Args>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

/// Hands a failed result's error on to a caller with another value type.
template <typename T>
tl::unexpected<Error> Propagate(Result<T>& failed) {
  return tl::unexpected<Error>(std::move(failed.error()));
}

}  // namespace quern
