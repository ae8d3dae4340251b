// Pulls from hubs that speak TLS, with certificates that are good or not.
#include "tools/hub/http_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "server/access/certificate.h"
#include "tests/testing/local_hub.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"
#include "tests/testing/write_file.h"
#include "tools/hub/pull_model.h"

namespace quern {
namespace {

using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LocalHub;
using ::testing::StartsWith;
using testing::Variable;

constexpr size_t kPiece = 64 << 10;

class HttpsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* variable : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) unsetenv(variable);
  }

  /// Files NAME.crt and NAME.key.
  TlsFiles MakeFiles(const std::string& name, const std::vector<std::string>& hosts = {"127.0.0.1"},
                     int days = 1) const {
    const Certificate made = MakeCertificate(hosts, days).value();
    testing::WriteFile(folder_.File(name + ".crt"), made.pem);
    testing::WriteFile(folder_.File(name + ".key"), made.key_pem);
    return {folder_.File(name + ".crt"), folder_.File(name + ".key")};
  }
  void Start(const TlsFiles& files) {
    hub_ = std::make_unique<LocalHub>(files);
    hub_->Add("m.gguf", content_);
    hub_->faults().token = "hf_secret";
  }
  /// Path of the model, or the error.
  std::string Pull() const {
    PullRequest request;
    request.name = ParseHubName("org/repo").value();
    request.server = {.endpoint = hub_->endpoint(), .token = "hf_secret"};
    request.cache_folder = folder_.File("cache");
    request.download.piece_bytes = kPiece;
    const Result<std::string> path = PullModel(request, {});
    return path ? *path : path.error().message;
  }
  std::string Problem(const std::string& what) const {
    return "org/repo: " + hub_->endpoint() + ": SSL" + what;
  }

  testing::TempDir folder_;
  std::string content_ = testing::PatternOf(8 * kPiece);
  std::unique_ptr<LocalHub> hub_;
};

/// As `openssl rehash` names it.
std::string HashNameOf(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "r"), std::fclose);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_X509(file.get(), nullptr, nullptr, nullptr), X509_free);
  return fmt::format("{:08x}.0", X509_subject_name_hash(certificate.get()));
}

TEST_F(HttpsTest, OnesOwnFileVouchesForAHubAndWhereItLeads) {
  const TlsFiles files = MakeFiles("hub");
  Start(files);
  hub_->faults().redirects = true;
  const Variable trusted("SSL_CERT_FILE", files.certificate);
  const std::string path = Pull();
  ASSERT_THAT(path, EndsWith("/m.gguf"));
  EXPECT_TRUE(testing::ReadFile(path) == content_);
  size_t n_elsewhere = 0;
  std::vector<std::string> ranges;
  for (const LocalHub::Seen& seen : hub_->seen()) {
    EXPECT_EQ(seen.authorization, seen.at_other_origin ? "" : "Bearer hf_secret") << seen.path;
    if (seen.at_other_origin) ++n_elsewhere;
    ranges.push_back(seen.range);
  }
  EXPECT_EQ(n_elsewhere, 1 + content_.size() / kPiece);
  EXPECT_THAT(ranges, Contains("bytes=65536-131071"));
}

TEST_F(HttpsTest, SoDoesAFolder) {
  const TlsFiles files = MakeFiles("hub");
  Start(files);
  testing::WriteFile(folder_.File("trusted/" + HashNameOf(files.certificate)),
                     testing::ReadFile(files.certificate));
  const Variable trusted("SSL_CERT_DIR", folder_.File("none") + ":" + folder_.File("trusted"));
  EXPECT_THAT(Pull(), EndsWith("/m.gguf"));
}

TEST_F(HttpsTest, WhomNobodyVouchesForIsToldNothing) {
  Start(MakeFiles("hub"));
  const std::string problem = Problem(" certificate problem: self-signed certificate (");
  EXPECT_EQ(Pull(), problem + "SSL_CERT_FILE can name a file of certificates to trust)");
  const std::string others = MakeFiles("other").certificate;
  {
    const Variable trusted("SSL_CERT_FILE", others);
    EXPECT_EQ(Pull(), problem + "SSL_CERT_FILE is '" + others + "')");
  }
  const Variable trusted("SSL_CERT_DIR", folder_.path());
  EXPECT_EQ(Pull(), problem + "SSL_CERT_DIR is '" + folder_.path() + "')");
  EXPECT_THAT(hub_->seen(), IsEmpty());
}

TEST_F(HttpsTest, ACertificateForOthersIsNone) {
  const TlsFiles files = MakeFiles("hub", {"quern.test", "127.0.0.2"});
  Start(files);
  const Variable trusted("SSL_CERT_FILE", files.certificate);
  EXPECT_THAT(Pull(), StartsWith(Problem(": no alternative certificate subject name matches")));
  EXPECT_THAT(hub_->seen(), IsEmpty());
}

TEST_F(HttpsTest, CertificatesExpire) {
  const TlsFiles files = MakeFiles("hub", {"127.0.0.1"}, -1);
  Start(files);
  const Variable trusted("SSL_CERT_FILE", files.certificate);
  EXPECT_EQ(Pull(), Problem(" certificate problem: certificate has expired"));
  EXPECT_THAT(hub_->seen(), IsEmpty());
}

TEST_F(HttpsTest, NothingComesWithoutTlsAfterAll) {
  const TlsFiles files = MakeFiles("hub");
  Start(files);
  LocalHub plain;
  plain.Add("m.gguf", content_);
  hub_->faults().redirects = true;
  hub_->faults().location = plain.FileUrl("m.gguf");
  const Variable trusted("SSL_CERT_FILE", files.certificate);
  EXPECT_THAT(Pull(), StartsWith("m.gguf: redirected from https to http, "));
  EXPECT_THAT(plain.seen(), IsEmpty());
}

TEST_F(HttpsTest, ABadFileStopsItAlone) {
  Start(MakeFiles("hub"));
  const Variable trusted("SSL_CERT_FILE", folder_.File("none"));
  EXPECT_EQ(Pull(), "org/repo: SSL_CERT_FILE: cannot open '" + folder_.File("none") +
                        "': No such file or directory");
  hub_ = std::make_unique<LocalHub>();
  hub_->Add("m.gguf", content_);
  EXPECT_THAT(Pull(), EndsWith("/m.gguf"));
}

TEST_F(HttpsTest, AHubWithoutTlsIsNamed) {
  LocalHub plain;
  PullRequest request;
  request.name = ParseHubName("org/repo").value();
  request.server.endpoint = "https" + plain.endpoint().substr(4);
  request.cache_folder = folder_.File("cache");
  const Result<std::string> path = PullModel(request, {});
  ASSERT_FALSE(path);
  EXPECT_THAT(path.error().message,
              HasSubstr("no answer from the hub: " + request.server.endpoint + ": "));
}

}  // namespace
}  // namespace quern
