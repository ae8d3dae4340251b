// The server's log: a line per request and per event of the server, as text or JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "gguf/base/result.h"
#include "server/telemetry/request_record.h"

namespace quern {

enum class LogFormat : uint8_t {
  kText,  ///< TIME level message key=value...
  kJson,  ///< {"time":…,"level":…,"message":…,key:value…}
};

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct RequestLogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;  ///< the least that is written
  std::string file;                  ///< appended to; empty: stderr
  uint64_t max_bytes = 0;            ///< of the file, before it is set aside; 0: no limit
  size_t n_kept = 5;                 ///< files that are set aside, FILE.1 the youngest
  size_t max_value_bytes = 1024;     ///< longer texts are cut: a path has up to 8 KB; 0: no limit
  size_t queue_lines = 1024;         ///< most lines that wait to be written; about 0.5 KB each
};

/// The fields of a request's line.
nlohmann::ordered_json RequestFields(const RequestRecord& record);

/// Lines are handed to a thread that writes them, and no call ever waits for it: while a pipe is
/// stalled, the oldest waiting lines give way to new ones, and what a full disk refuses is dropped.
/// A line tells of such losses once lines can be written again. Times are UTC. Lines are ASCII:
/// all else in a value is escaped as in JSON, so that no value can look like a line or a field, or
/// speak to a terminal. Thread-safe.
class RequestLog {
 public:
  /// Errors: kIo when the file cannot be opened for appending.
  static Result<std::unique_ptr<RequestLog>> Open(const RequestLogOptions& options);
  /// Writes what still waits; gives up after a second with nothing written.
  ~RequestLog();
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  /// A request that has ended. Those that failed are errors, all others are information.
  void Record(const RequestRecord& record);

  /// An event of the server. `fields` is an object of strings, numbers and booleans.
  void Write(LogLevel level, std::string_view message,
             const nlohmann::ordered_json& fields = nlohmann::ordered_json::object());

  /// Opens its file again, which a log rotator may have renamed. Errors: kIo; then it goes on in
  /// the old one.
  Status Reopen();

  /// Lines lost so far, to a full queue or a write that failed.
  uint64_t n_lost() const;

 private:
  struct Writer;
  RequestLog(const RequestLogOptions& options, std::unique_ptr<Writer> writer);

  LogFormat format_;
  size_t max_value_bytes_;
  std::unique_ptr<Writer> writer_;
};

}  // namespace quern
