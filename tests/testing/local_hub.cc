#include "tests/testing/local_hub.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <utility>

#include "server/http/guarded_server.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"
#include "tools/hub/sha256.h"

namespace quern::testing {
namespace {

constexpr size_t kSentAtOnce = 16 << 10;
const std::string kRepository = "org/repo";

}  // namespace

struct LocalHub::Impl {
  struct File {
    std::string content;
    std::string sha256;
  };

  std::unique_ptr<TlsServer> tls;  ///< null: none is spoken
  GuardedServer hub{ConnectionLimits()};
  GuardedServer other{ConnectionLimits()};
  int hub_port = 0;
  int other_port = 0;
  std::thread hub_thread;
  std::thread other_thread;
  std::atomic<size_t> n_sent = 0;

  mutable std::mutex mutex = {};  ///< of what follows
  std::map<std::string, std::shared_ptr<const File>> files;
  std::vector<Seen> seen;
  HubFaults faults;

  std::string OriginOf(int port) const {
    return (tls == nullptr ? "http://127.0.0.1:" : "https://127.0.0.1:") + std::to_string(port);
  }

  void Note(const httplib::Request& request, bool at_other_origin) {
    const std::lock_guard lock(mutex);
    seen.push_back({request.path, request.get_header_value("Range"),
                    request.get_header_value("Authorization"), at_other_origin});
  }

  bool Refuses(const httplib::Request& request, httplib::Response& response) {
    const std::lock_guard lock(mutex);
    if (faults.token.empty() ||
        request.get_header_value("Authorization") == "Bearer " + faults.token) {
      return false;
    }
    response.status = faults.refusal;
    if (!faults.error_code.empty()) response.set_header("X-Error-Code", faults.error_code);
    response.set_content("{\"error\":\"no\"}", "application/json");
    return true;
  }

  void List(const httplib::Request& request, httplib::Response& response) {
    Note(request, false);
    if (Refuses(request, response)) return;
    const std::lock_guard lock(mutex);
    if (request.matches[1] != kRepository || request.matches[2] != "main") {
      response.status = 404;
      response.set_header("X-Error-Code",
                          request.matches[1] == kRepository ? "RevisionNotFound" : "RepoNotFound");
      return;
    }
    nlohmann::json siblings = nlohmann::json::array();
    for (const auto& [path, file] : files) {
      const std::string& sha256 =
          faults.announced_sha256.empty() ? file->sha256 : faults.announced_sha256;
      siblings.push_back({{"rfilename", path},
                          {"size", file->content.size()},
                          {"lfs", {{"sha256", sha256}, {"size", file->content.size()}}}});
    }
    const nlohmann::json listing = {{"sha", kCommit}, {"siblings", siblings}};
    response.set_content(faults.listing.empty() ? listing.dump() : faults.listing,
                         "application/json");
  }

  void Send(const httplib::Request& request, httplib::Response& response, bool at_other_origin) {
    Note(request, at_other_origin);
    if (!at_other_origin && Refuses(request, response)) return;
    const std::lock_guard lock(mutex);
    const auto found = files.find(request.matches[2]);
    if (request.matches[1] != kRepository || found == files.end()) {
      response.status = 404;
      response.set_header("X-Error-Code", "EntryNotFound");
      return;
    }
    if (!faults.statuses.empty()) {
      response.status = faults.statuses.front();
      faults.statuses.erase(faults.statuses.begin());
      if (!faults.retry_after.empty()) response.set_header("Retry-After", faults.retry_after);
      return;
    }
    const std::shared_ptr<const File> file = found->second;
    if (faults.redirects && !at_other_origin) {
      response.status = 302;
      response.set_header("X-Linked-Etag", "\"" + file->sha256 + "\"");
      response.set_header("Location", faults.location.empty() ? OriginOf(other_port) + request.path
                                                              : faults.location);
      return;
    }
    const std::string etag = "\"" + file->sha256.substr(0, 16) + "\"";
    response.set_header("ETag", etag);
    const bool is_other =
        request.has_header("If-Range") && request.get_header_value("If-Range") != etag;
    if (is_other || faults.ignores_ranges) {
      const_cast<httplib::Request&>(request).ranges.clear();  // as a server that knows none
    }
    size_t limit = std::string::npos;
    // One byte is asked for to learn what the file is.
    if (faults.n_cuts > 0 && request.get_header_value("Range") != "bytes=0-0") {
      --faults.n_cuts;
      limit = faults.cut_after;
    }
    auto left = std::make_shared<size_t>(limit);
    response.set_content_provider(file->content.size(), "application/octet-stream",
                                  [this, file, left, before = faults.before_bytes](
                                      size_t offset, size_t length, httplib::DataSink& sink) {
                                    if (before) before(offset);
                                    const size_t n = std::min({length, *left, kSentAtOnce});
                                    *left -= n;
                                    n_sent += n;
                                    return n > 0 && sink.write(file->content.data() + offset, n);
                                  });
  }
};

LocalHub::LocalHub(const std::optional<TlsFiles>& tls) : impl_(std::make_unique<Impl>()) {
  if (tls) impl_->tls = TlsServer::Create(*tls).value();
  for (GuardedServer* server : {&impl_->hub, &impl_->other}) server->set_tls(impl_->tls.get());
  setenv("no_proxy", "127.0.0.1", 1);  // what the machine may have is not for this
  const std::string files = R"(/([^/]+/[^/]+)/resolve/[^/]+/(.+))";
  impl_->hub.Get(R"(/api/models/([^/]+/[^/]+)/revision/([^/]+))",
                 [this](const auto& request, auto& response) { impl_->List(request, response); });
  impl_->hub.Get(files, [this](const auto& request, auto& response) {
    impl_->Send(request, response, false);
  });
  impl_->other.Get(
      files, [this](const auto& request, auto& response) { impl_->Send(request, response, true); });
  impl_->hub_port = impl_->hub.Bind("127.0.0.1", 0).value();
  impl_->other_port = impl_->other.Bind("127.0.0.1", 0).value();
  impl_->hub_thread = std::thread([this] { impl_->hub.Run(); });
  impl_->other_thread = std::thread([this] { impl_->other.Run(); });
}

LocalHub::~LocalHub() {
  impl_->hub.Stop();
  impl_->other.Stop();
  impl_->hub_thread.join();
  impl_->other_thread.join();
}

void LocalHub::Add(const std::string& path, std::string content) {
  std::string sha256 = Sha256Of(content);
  const std::lock_guard lock(impl_->mutex);
  impl_->files[path] =
      std::make_shared<const Impl::File>(Impl::File{std::move(content), std::move(sha256)});
}

std::string LocalHub::endpoint() const { return impl_->OriginOf(impl_->hub_port); }

std::string LocalHub::FileUrl(const std::string& path) const {
  return endpoint() + "/" + kRepository + "/resolve/main/" + path;
}

void LocalHub::Change(const std::function<void(HubFaults&)>& change) {
  const std::lock_guard lock(impl_->mutex);
  change(impl_->faults);
}

HubFaults& LocalHub::faults() { return impl_->faults; }

std::vector<LocalHub::Seen> LocalHub::seen() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->seen;
}

size_t LocalHub::n_file_requests() const {
  const std::vector<Seen> all = seen();
  return static_cast<size_t>(std::count_if(all.begin(), all.end(), [](const Seen& request) {
    return request.path.find("/resolve/") != std::string::npos;
  }));
}

size_t LocalHub::n_sent() const { return impl_->n_sent; }

std::string PatternOf(size_t n_bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string content;
  for (size_t i = 0; i < n_bytes; ++i) content.push_back(static_cast<char>(random()));
  return content;
}

std::string Sha256Of(const std::string& content) {
  const TempDir folder;
  WriteFile(folder.File("content"), content);
  return Sha256OfFile(folder.File("content")).value();
}

}  // namespace quern::testing
