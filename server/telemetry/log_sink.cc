#include "server/telemetry/log_sink.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace quern {

void LogSink::sink_it_(const spdlog::details::log_msg& message) {
  const uint64_t n_all = n_lost();
  if (n_all > n_told_) {
    const std::string text = describe_loss_(n_all - n_told_);
    if (Put({message.logger_name, spdlog::level::warn, text})) n_told_ = n_all;
  }
  if (!Put(message)) ++n_failed_;
}

bool LogSink::Put(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  if (is_torn_) line.push_back('\n');
  formatter_->format(message, line);
  if (max_bytes_ > 0) {
    const uint64_t size = file_->Size();
    // Where it cannot be renamed it grows on: lines are worth more than the limit.
    if (size > 0 && size + line.size() > max_bytes_) (void)file_->SetAside(n_kept_);
  }
  return WriteAll({line.data(), line.size()});
}

bool LogSink::WriteAll(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty()) {
    if (!WaitUntilWritable()) break;
    // A pipe that is writable takes so much without blocking; more could stall in this call, where
    // nothing ends the wait.
    const ssize_t n =
        write(file_->descriptor(), text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno != EINTR) break;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  if (text.size() < size) is_torn_ = !text.empty();
  return text.empty();
}

bool LogSink::WaitUntilWritable() {
  constexpr int kWaitMilliseconds = 100;
  constexpr int kMaxLateWaits = 10;
  while (true) {
    pollfd writable = {file_->descriptor(), POLLOUT, 0};
    if (poll(&writable, 1, n_late_waits_ < kMaxLateWaits ? kWaitMilliseconds : 0) > 0) return true;
    if (!closing_) continue;
    if (n_late_waits_ >= kMaxLateWaits) return false;
    ++n_late_waits_;
  }
}

}  // namespace quern
