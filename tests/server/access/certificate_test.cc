#include "server/access/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::shared_ptr<X509> Parse(const std::string& pem) {
  BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  std::shared_ptr<X509> certificate(PEM_read_bio_X509(memory, nullptr, nullptr, nullptr),
                                    X509_free);
  BIO_free(memory);
  return certificate;
}

TEST(Certificate, IsForItsNamesAndVouchesForItself) {
  const Certificate made =
      MakeCertificate({"quern.test", "*.quern.test", "10.1.2.3", "::1"}, 3).value();
  const std::shared_ptr<X509> certificate = Parse(made.pem);
  ASSERT_NE(certificate, nullptr);
  EXPECT_EQ(X509_verify(certificate.get(), X509_get0_pubkey(certificate.get())), 1);
  for (const char* host : {"quern.test", "a.quern.test"}) {
    EXPECT_EQ(X509_check_host(certificate.get(), host, 0, 0, nullptr), 1) << host;
  }
  EXPECT_EQ(X509_check_host(certificate.get(), "other.test", 0, 0, nullptr), 0);
  for (const char* address : {"10.1.2.3", "::1"}) {
    EXPECT_EQ(X509_check_ip_asc(certificate.get(), address, 0), 1) << address;
  }
  EXPECT_EQ(X509_check_purpose(certificate.get(), X509_PURPOSE_SSL_SERVER, 0), 1);
  EXPECT_EQ(X509_check_ca(certificate.get()), 0);

  int days = 0;
  int seconds = 0;
  ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate.get()),
                 X509_get0_notAfter(certificate.get()));
  EXPECT_EQ(days, 3);
  EXPECT_THAT(made.key_pem, StartsWith("-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_EQ(made.fingerprint.size(), 32 * 3 - 1);
}

TEST(Certificate, EachIsAnother) {
  EXPECT_NE(MakeCertificate({"a"}, 1).value().pem, MakeCertificate({"a"}, 1).value().pem);
}

TEST(Certificate, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "a b", "a,DNS:evil.test", "-a", ".a", "*.", "a\n", "1.2.3.4:80"}) {
    const Result<Certificate> made = MakeCertificate({"good", name}, 1);
    ASSERT_FALSE(made) << name;
    EXPECT_THAT(made.error().message, HasSubstr("neither a host name nor an IP address"));
  }
  EXPECT_FALSE(MakeCertificate({std::string(300, 'a')}, 1));
}

}  // namespace
}  // namespace quern
