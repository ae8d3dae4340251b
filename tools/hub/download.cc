#include "tools/hub/download.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gguf/base/parse_number.h"
#include "gguf/base/printable.h"
#include "tools/hub/hub_client.h"
#include "tools/hub/partial_file.h"
#include "tools/hub/sha256.h"

namespace quern {
namespace {

constexpr auto kReportInterval = std::chrono::milliseconds(100);

/// What the first bytes tell of the file.
struct Probe {
  FileIdentity identity;
  bool has_ranges = false;  ///< the server can begin in the middle
};

struct ContentRange {
  uint64_t begin;
  uint64_t total;
};

/// "bytes 0-99/1234".
std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == std::string_view::npos ||
      slash == std::string_view::npos || dash > slash) {
    return std::nullopt;
  }
  const auto begin = ParseNumber<uint64_t>(text.substr(kUnit.size(), dash - kUnit.size()));
  const auto total = ParseNumber<uint64_t>(text.substr(slash + 1));
  if (!begin || !total) return std::nullopt;
  return ContentRange{*begin, *total};
}

/// The hash that the hub's header tells, in quotes; empty when it tells none.
std::string LinkedSha256(const HttpResponse& response) {
  std::string_view tag = response.Header("x-linked-etag");
  if (tag.size() == 66 && tag.starts_with('"') && tag.ends_with('"')) tag = tag.substr(1, 64);
  const bool is_hash =
      tag.size() == 64 && tag.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return is_hash ? std::string(tag) : std::string();
}

/// Asks for the first byte.
Result<Probe> ProbeFile(const DownloadRequest& request, const RetryPolicy& retry,
                        const DownloadReporter& reporter) {
  HttpClient client;
  Backoff backoff(retry);
  for (;;) {
    const HttpResponse response =
        client.Get({.url = request.url, .token = request.token, .range = "0-0"},
                   [](const HttpResponse& head, auto) { return head.status == 206; });
    const bool has_ranges = response.status == 206 && response.ending == HttpEnding::kWhole;
    if (has_ranges || response.status == 200) {
      const auto range = ParseContentRange(response.Header("content-range"));
      std::optional<uint64_t> size = ParseNumber<uint64_t>(response.Header("content-length"));
      if (has_ranges) size = range ? std::optional(range->total) : std::nullopt;
      if (size && *size != request.size) {
        return Fail(ErrorCode::kIo, "{}: {} bytes, but the hub's list says {}", request.what, *size,
                    request.size);
      }
      Probe probe{.identity = {.size = request.size,
                               .sha256 = request.sha256,
                               .etag = std::string(response.Header("etag"))},
                  .has_ranges = has_ranges && range && range->begin == 0};
      if (probe.identity.sha256.empty()) probe.identity.sha256 = LinkedSha256(response);
      return probe;
    }
    const auto wait = MayPass(response) ? backoff.Next(response) : std::nullopt;
    if (!wait) return HubRefusal(response, request.what, !request.token.empty());
    if (reporter.say) {
      reporter.say(fmt::format("{}: {}", request.what, Backoff::LineOf(response, *wait)));
    }
    std::this_thread::sleep_for(*wait);
  }
}

/// The connections that fill one PartialFile.
class Transfer {
 public:
  Transfer(const DownloadRequest& request, const DownloadOptions& options, const Probe& probe,
           PartialFile& file)
      : request_(request), options_(options), probe_(probe), file_(file) {}

  /// Until nothing is missing, or something fails that no other try betters.
  Status Run(const DownloadReporter& reporter) {
    size_t n_threads = 1;
    if (probe_.has_ranges) {
      for (const ByteRange& piece : file_.Missing(options_.piece_bytes)) pieces_.push_back(piece);
      n_threads = std::min<size_t>(static_cast<size_t>(options_.n_connections), pieces_.size());
    } else if (file_.n_done() != probe_.identity.size) {
      pieces_.push_back({0, probe_.identity.size});
    }
    std::vector<std::thread> threads = StartThreads(n_threads);
    Report(reporter);
    for (std::thread& thread : threads) thread.join();
    return std::move(status_);
  }

 private:
  /// Fewer than asked for, but one at least, where the system gives no more.
  std::vector<std::thread> StartThreads(size_t n_threads) {
    std::vector<std::thread> threads;
    threads.reserve(n_threads);
    const std::lock_guard lock(mutex_);
    try {
      while (threads.size() < n_threads) threads.emplace_back([this] { Work(); });
    } catch (const std::system_error&) {
      if (threads.empty()) throw;
    }
    n_running_ = threads.size();
    return threads;
  }

  /// One connection: takes pieces until there is none.
  void Work() {
    HttpClient client;
    Status status;
    while (status && !stop_) {
      const std::optional<ByteRange> piece = NextPiece();
      if (!piece) break;
      status = FetchPiece(client, *piece);
    }
    const std::lock_guard lock(mutex_);
    if (!status && status_) status_ = std::move(status);
    if (!status_) stop_ = true;
    --n_running_;
    changed_.notify_all();
  }

  std::optional<ByteRange> NextPiece() {
    const std::lock_guard lock(mutex_);
    if (pieces_.empty()) return std::nullopt;
    const ByteRange piece = pieces_.front();
    pieces_.pop_front();
    return piece;
  }

  Status FetchPiece(HttpClient& client, ByteRange piece) {
    Backoff backoff(options_.retry);
    for (;;) {
      if (!probe_.has_ranges) piece.begin = 0;  // whatever came before comes again
      const uint64_t begin = piece.begin;
      Status status;
      const HttpResponse response = client.Get(
          RequestFor(piece),
          [&](const HttpResponse& head, std::span<const std::byte> bytes) {
            if (!IsContent(head)) return false;
            status = CheckHead(head, begin);
            if (!status) return false;
            const bool is_too_much = bytes.size() > piece.size();
            if (is_too_much) bytes = bytes.first(piece.size());
            status = file_.Write(piece.begin, bytes);
            piece.begin += bytes.size();
            return status.has_value() && !is_too_much;
          },
          &stop_);
      if (!status || stop_ || piece.size() == 0) return status;
      if (probe_.has_ranges && piece.begin > begin) backoff.Reset();
      // An answer that ends early is as good as cut.
      const bool may_pass = MayPass(response) || IsContent(response);
      const auto wait = may_pass ? backoff.Next(response) : std::nullopt;
      if (!wait && IsContent(response)) {
        return Fail(ErrorCode::kIo, "{}: the connection was cut {} times: {}", request_.what,
                    options_.retry.most_tries, ProblemOf(response));
      }
      if (!wait) return HubRefusal(response, request_.what, !request_.token.empty());
      Say(fmt::format("{}: {}", request_.what, Backoff::LineOf(response, *wait)));
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, *wait, [this] { return stop_.load(); });
    }
  }

  HubRequest RequestFor(ByteRange piece) const {
    HubRequest request{.url = request_.url, .token = request_.token};
    if (!probe_.has_ranges) return request;
    request.range = fmt::format("{}-{}", piece.begin, piece.end - 1);
    // A weak tag does not say that the bytes are the same, and may not be sent.
    if (probe_.identity.etag.starts_with('"')) request.if_range = probe_.identity.etag;
    return request;
  }

  static bool IsContent(const HttpResponse& head) {
    return head.status == 200 || head.status == 206;
  }

  /// Whether the answer belongs to the file that was begun, and where it begins.
  Status CheckHead(const HttpResponse& head, uint64_t begin) const {
    const std::string_view etag = head.Header("etag");
    const bool is_other =
        !etag.empty() && !probe_.identity.etag.empty() && etag != probe_.identity.etag;
    if (is_other || (probe_.has_ranges && head.status == 200)) {
      return Fail(ErrorCode::kCorruptFile, "{}: the file changed on the hub while it was read",
                  request_.what);
    }
    if (head.status == 200) return {};
    const auto range = ParseContentRange(head.Header("content-range"));
    if (range && range->begin == begin && range->total == probe_.identity.size) return {};
    return Fail(ErrorCode::kIo, "{}: the hub sent {}, expected bytes from {} of {}", request_.what,
                Quoted(head.Header("content-range")), begin, probe_.identity.size);
  }

  void Say(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }

  /// Tells how it goes until all threads are done.
  void Report(const DownloadReporter& reporter) {
    std::unique_lock lock(mutex_);
    for (bool is_done = false; !is_done;) {
      is_done = changed_.wait_for(lock, kReportInterval, [this] { return n_running_ == 0; });
      const std::vector<std::string> lines = std::exchange(lines_, {});
      lock.unlock();
      for (const std::string& line : lines) {
        if (reporter.say) reporter.say(line);
      }
      if (reporter.progress) reporter.progress(file_.n_done());
      lock.lock();
    }
  }

  const DownloadRequest& request_;
  const DownloadOptions& options_;
  const Probe& probe_;
  PartialFile& file_;

  std::atomic<bool> stop_ = false;
  std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  std::deque<ByteRange> pieces_;
  std::vector<std::string> lines_;
  size_t n_running_ = 0;
  Status status_;
};

Status DownloadOnce(const DownloadRequest& request, const std::string& path,
                    const DownloadOptions& options, const DownloadReporter& reporter) {
  const Result<Probe> probe = ProbeFile(request, options.retry, reporter);
  if (!probe) return tl::unexpected(probe.error());
  Result<PartialFile> file = PartialFile::Open(path, probe->identity);
  if (!file) return Propagate(file);
  Status status = Transfer(request, options, *probe, *file).Run(reporter);
  if (!status && status.error().code == ErrorCode::kCorruptFile) file->Discard();
  if (!status) return status;
  if (probe->identity.sha256.empty()) return file->Commit();
  const Result<std::string> sha256 = Sha256OfFile(file->partial_path(), reporter.check);
  if (!sha256) return tl::unexpected(sha256.error());
  if (*sha256 == probe->identity.sha256) return file->Commit();
  file->Discard();
  return Fail(ErrorCode::kCorruptFile, "{}: SHA-256 {}, but the hub says {}; what came was deleted",
              request.what, *sha256, probe->identity.sha256);
}

}  // namespace

Status Download(const DownloadRequest& request, const std::string& path,
                const DownloadOptions& options, const DownloadReporter& reporter) {
  Status status = DownloadOnce(request, path, options, reporter);
  if (status || status.error().code != ErrorCode::kCorruptFile) return status;
  if (reporter.say)
    reporter.say(fmt::format("{}; once more from the start", status.error().message));
  return DownloadOnce(request, path, options, reporter);
}

}  // namespace quern
