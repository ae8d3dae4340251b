// Where log lines end: a file descriptor that may stall or fail, and must hold up nothing else.
#pragma once

#include <spdlog/async_logger.h>  // thread_pool.h needs it
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "server/telemetry/log_file.h"

namespace quern {

/// Used by the one thread of `pool`, whose queue loses lines while this sink is stalled.
class LogSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  /// `file`: outlives the sink, and is set aside before it has more than `max_bytes`, where that is
  /// not 0. `describe_loss`: the message of a line that tells of so many lost lines.
  LogSink(LogFile* file, uint64_t max_bytes, size_t n_kept, spdlog::details::thread_pool* pool,
          std::function<std::string(uint64_t)> describe_loss)
      : file_(file),
        max_bytes_(max_bytes),
        n_kept_(n_kept),
        pool_(pool),
        describe_loss_(std::move(describe_loss)) {}

  /// From here on it waits for a stalled descriptor for a second in all. Any thread.
  void Close() { closing_ = true; }

  /// Lines lost so far, by the queue or here. Any thread.
  uint64_t n_lost() const { return pool_->overrun_counter() + n_failed_; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  /// These are false when a line could not be written, or only in part.
  bool Put(const spdlog::details::log_msg& message);
  bool WriteAll(std::string_view text);
  bool WaitUntilWritable();

  LogFile* const file_;
  const uint64_t max_bytes_;
  const size_t n_kept_;
  spdlog::details::thread_pool* const pool_;
  const std::function<std::string(uint64_t)> describe_loss_;
  std::atomic<bool> closing_{false};
  std::atomic<uint64_t> n_failed_{0};
  uint64_t n_told_ = 0;   ///< lost lines that a line has told of
  int n_late_waits_ = 0;  ///< after Close
  bool is_torn_ = false;  ///< the last line was written in part
};

}  // namespace quern
