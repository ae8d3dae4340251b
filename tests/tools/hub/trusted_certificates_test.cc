#include "tools/hub/trusted_certificates.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "server/access/certificate.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using testing::Variable;

class TrustedCertificatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* variable : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) unsetenv(variable);
  }
  static std::string ErrorOfEnvironment() {
    const Result<TrustedCertificates> trusted = TrustedCertificates::OfEnvironment();
    return trusted ? "" : trusted.error().message;
  }

  testing::TempDir folder_;
};

TEST_F(TrustedCertificatesTest, AreTheSystemsOrWhatTheVariablesName) {
  ASSERT_EQ(ErrorOfEnvironment(), "");
  EXPECT_EQ(TrustedCertificates::OfEnvironment()->file, "");
  EXPECT_EQ(TrustedCertificates::OfEnvironment()->folder, "");
  testing::WriteFile(folder_.File("a.crt"), MakeCertificate({"a"}, 1)->pem);
  const Variable file("SSL_CERT_FILE", folder_.File("a.crt"));
  const Variable folder("SSL_CERT_DIR", "/none:" + folder_.path());
  ASSERT_EQ(ErrorOfEnvironment(), "");
  EXPECT_EQ(TrustedCertificates::OfEnvironment()->file, folder_.File("a.crt"));
  EXPECT_EQ(TrustedCertificates::OfEnvironment()->folder, "/none:" + folder_.path());
}

TEST_F(TrustedCertificatesTest, ABadFileIsNamedByItsVariable) {
  const std::string path = folder_.File("x.crt");
  const Variable file("SSL_CERT_FILE", path);
  EXPECT_EQ(ErrorOfEnvironment(),
            "SSL_CERT_FILE: cannot open '" + path + "': No such file or directory");
  const std::string pem = MakeCertificate({"a"}, 1)->pem;
  for (const std::string& text :
       {std::string(), std::string("text\n"), MakeCertificate({"a"}, 1)->key_pem,
        pem.substr(0, pem.size() / 2)}) {
    testing::WriteFile(path, text);
    EXPECT_EQ(ErrorOfEnvironment(),
              "SSL_CERT_FILE: '" + path + "' holds no certificate in PEM format");
  }
  const Variable itself("SSL_CERT_FILE", folder_.path());
  EXPECT_EQ(ErrorOfEnvironment(),
            "SSL_CERT_FILE: '" + folder_.path() + "' holds no certificate in PEM format");
}

TEST_F(TrustedCertificatesTest, ABadFolderIsNamedByItsVariable) {
  for (const std::string& path :
       {folder_.File("none"), std::string("/dev/null:"), std::string("/none:/no")}) {
    const Variable folder("SSL_CERT_DIR", path);
    EXPECT_EQ(ErrorOfEnvironment(), "SSL_CERT_DIR: '" + path + "' is no folder");
  }
}

}  // namespace
}  // namespace quern
