#include "tools/hub/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/x509_vfy.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "gguf/base/lower_ascii.h"
#include "gguf/base/printable.h"
#include "tools/hub/trusted_certificates.h"

namespace quern {
namespace {

constexpr int kMostRedirects = 8;
constexpr long kConnectSeconds = 30;
/// A transfer that brings nothing for so long is taken for dead.
constexpr long kStallSeconds = 60;
constexpr long kBufferBytes = 256 << 10;
/// An answer with more would fill memory.
constexpr size_t kMostHeaderBytes = 64 << 10;

/// A URL that was taken apart.
class Url {
 public:
  explicit Url(const std::string& text) : url_(curl_url(), curl_url_cleanup) { Follow(text); }

  bool ok() const { return ok_; }
  /// Goes where `location`, absolute or relative, leads from here.
  void Follow(const std::string& location) {
    ok_ = url_ != nullptr &&
          curl_url_set(url_.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK;
  }
  std::string Part(CURLUPart part) const {
    char* text = nullptr;
    if (curl_url_get(url_.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
    const std::unique_ptr<char, void (*)(void*)> owner(text, curl_free);
    return text;
  }
  std::string scheme() const { return Part(CURLUPART_SCHEME); }
  std::string origin() const {
    return LowerAscii(
        fmt::format("{}://{}:{}", scheme(), Part(CURLUPART_HOST), Part(CURLUPART_PORT)));
  }

 private:
  std::unique_ptr<CURLU, void (*)(CURLU*)> url_;
  bool ok_ = false;
};

/// A list of header lines as curl wants them.
class HeaderList {
 public:
  HeaderList() = default;
  ~HeaderList() { curl_slist_free_all(list_); }
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;

  void Add(const std::string& line) { list_ = curl_slist_append(list_, line.c_str()); }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

/// What the callbacks of one transfer need.
struct Transfer {
  const HttpClient::Receiver& receiver;
  const std::atomic<bool>* stop;
  HttpResponse& response;
  size_t n_header_bytes = 0;
  bool stopped = false;

  bool is_redirect() const {
    return response.status >= 300 && response.status < 400 && response.status != 304 &&
           !response.Header("location").empty();
  }
};

size_t OnHeader(char* data, size_t /*one*/, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  transfer.n_header_bytes += size;
  if (transfer.n_header_bytes > kMostHeaderBytes) return 0;
  std::string_view line(data, size);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  // A status line begins an answer; one with 100 may have come before.
  if (line.starts_with("HTTP/")) {
    transfer.response.headers.clear();
    const size_t space = line.find(' ');
    transfer.response.status =
        space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space)).c_str());
    return size;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  transfer.response.headers[LowerAscii(line.substr(0, colon))] = value;
  return size;
}

size_t OnBody(char* data, size_t /*one*/, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  // The text of a redirect is for people.
  if (transfer.is_redirect()) return size;
  const std::span<const char> bytes(data, size);
  transfer.stopped = !transfer.receiver(transfer.response, std::as_bytes(bytes));
  return transfer.stopped ? 0 : size;
}

int OnProgress(void* context, curl_off_t /*to_get*/, curl_off_t /*got*/, curl_off_t /*to_send*/,
               curl_off_t /*sent*/) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.stop == nullptr || !*transfer.stop) return 0;
  transfer.stopped = true;
  return 1;
}

/// Whether nobody that is trusted stands behind the certificate of the server last asked.
bool IsUntrusted(CURL* handle) {
  long verdict = X509_V_OK;
  curl_easy_getinfo(handle, CURLINFO_SSL_VERIFYRESULT, &verdict);
  return verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
         verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
         verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
         verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

/// What can be done about it.
std::string WaysToTrust(const TrustedCertificates& trusted) {
  if (!trusted.file.empty()) return fmt::format("SSL_CERT_FILE is {}", Quoted(trusted.file, 200));
  if (!trusted.folder.empty())
    return fmt::format("SSL_CERT_DIR is {}", Quoted(trusted.folder, 200));
  return "SSL_CERT_FILE can name a file of certificates to trust";
}

/// Whether the network, and not what was asked, is at fault.
bool IsNetworkTrouble(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR:
      return false;
    default:
      return true;
  }
}

}  // namespace

std::string_view HttpResponse::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

struct HttpClient::Impl {
  std::unique_ptr<CURL, void (*)(CURL*)> curl;
  Result<TrustedCertificates> trusted = TrustedCertificates::OfEnvironment();

  /// One request, no redirect followed.
  HttpResponse GetOnce(const Url& url, const HubRequest& request, bool with_token,
                       const Receiver& receiver, const std::atomic<bool>* stop) const {
    HttpResponse response;
    Transfer transfer{.receiver = receiver, .stop = stop, .response = response};
    HeaderList headers;
    if (with_token) headers.Add("Authorization: Bearer " + request.token);
    if (!request.if_range.empty()) headers.Add("If-Range: " + request.if_range);
    std::array<char, CURL_ERROR_SIZE> message{};

    CURL* handle = curl.get();
    curl_easy_reset(handle);  // connections stay
    const auto set = [&](CURLoption option, auto value) {
      curl_easy_setopt(handle, option, value);
    };
    set(CURLOPT_URL, url.Part(CURLUPART_URL).c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_USERAGENT, "quern/" QUERN_VERSION);
    set(CURLOPT_HTTPHEADER, headers.get());
    if (!request.range.empty()) set(CURLOPT_RANGE, request.range.c_str());
    // What is not set is the system's.
    const TrustedCertificates certificates = trusted.value_or(TrustedCertificates());
    for (const CURLoption option : {CURLOPT_CAINFO, CURLOPT_PROXY_CAINFO}) {
      if (!certificates.file.empty()) set(option, certificates.file.c_str());
    }
    for (const CURLoption option : {CURLOPT_CAPATH, CURLOPT_PROXY_CAPATH}) {
      if (!certificates.folder.empty()) set(option, certificates.folder.c_str());
    }
    set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kStallSeconds);
    set(CURLOPT_BUFFERSIZE, kBufferBytes);
    set(CURLOPT_ERRORBUFFER, message.data());
    set(CURLOPT_HEADERFUNCTION, OnHeader);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
    set(CURLOPT_WRITEFUNCTION, OnBody);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, OnProgress);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));

    const CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK) return response;
    if (transfer.stopped) {
      response.ending = HttpEnding::kStopped;
      return response;
    }
    response.ending = IsNetworkTrouble(code) ? HttpEnding::kCut : HttpEnding::kRefused;
    response.problem =
        Printable(message[0] != '\0' ? message.data() : curl_easy_strerror(code), 200);
    // What OpenSSL says does not tell of whom.
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR) {
      response.problem = fmt::format("{}: {}", Printable(url.origin(), 200), response.problem);
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION && IsUntrusted(handle)) {
      response.problem += fmt::format(" ({})", WaysToTrust(certificates));
    }
    return response;
  }
};

HttpClient::HttpClient() {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(kReady);  // without it there is no handle below, which Get reports
  impl_ = std::make_unique<Impl>(
      Impl{std::unique_ptr<CURL, void (*)(CURL*)>(curl_easy_init(), curl_easy_cleanup)});
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::Get(const HubRequest& request, const Receiver& receiver,
                             const std::atomic<bool>* stop) {
  const auto refused = [](HttpResponse response, std::string problem) {
    response.ending = HttpEnding::kRefused;
    response.problem = std::move(problem);
    return response;
  };
  if (impl_->curl == nullptr) return refused({}, "libcurl cannot start");
  Url url(request.url);
  if (!url.ok()) return refused({}, fmt::format("{} is no URL", Quoted(request.url)));
  const std::string first_origin = url.origin();
  std::map<std::string, std::string, std::less<>> linked;
  for (int i = 0; i <= kMostRedirects; ++i) {
    const bool with_token = !request.token.empty() && url.origin() == first_origin;
    if (url.scheme() == "https" && !impl_->trusted) {
      return refused({}, impl_->trusted.error().message);
    }
    HttpResponse response = impl_->GetOnce(url, request, with_token, receiver, stop);
    // What the first answer says of the file is the hub's word; a later server cannot change it.
    for (const auto& [name, value] : response.headers) {
      if (name.starts_with("x-linked-")) linked.emplace(name, value);
    }
    const Transfer transfer{.receiver = receiver, .stop = stop, .response = response};
    if (response.ending != HttpEnding::kWhole || !transfer.is_redirect()) {
      for (const auto& [name, value] : linked) response.headers[name] = value;
      return response;
    }
    const std::string scheme = url.scheme();
    url.Follow(std::string(response.Header("location")));
    if (!url.ok()) return refused(std::move(response), "redirected to what is no URL");
    if (scheme == "https" && url.scheme() != "https") {
      return refused(std::move(response),
                     fmt::format("redirected from https to {}, which can be read and changed on "
                                 "its way",
                                 Printable(url.scheme())));
    }
  }
  return refused({}, fmt::format("redirected more than {} times", kMostRedirects));
}

std::string UrlEscaped(std::string_view text, bool keep_slashes) {
  std::string escaped;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' ||
                          (c == '/' && keep_slashes);
    escaped += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return escaped;
}

}  // namespace quern
