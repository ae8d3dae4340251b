// `quern service-files`: gives a service's user copies of the files that root alone can read.
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_server.h"
#include "tools/cli/commands.h"
#include "tools/service/service_copies.h"

namespace quern {
namespace {

constexpr const char* kHelp = R"(
The units of quern install-service run it as root, before the server starts and at
`systemctl reload`. Files that quern serve would refuse are not copied, and the copies stay as they
were when anything fails. The folder's owner alone can read them.

)";

struct FilesOptions {
  std::string folder;
  std::array<std::string, kServiceFileOptions.size()> paths;  ///< in the order of the names
};

Result<int> CopyFiles(const FilesOptions& options) {
  HttpServerOptions server;
  TlsFiles tls;
  std::vector<ServiceFile> files;
  for (size_t i = 0; i < options.paths.size(); ++i) {
    const std::string_view name = kServiceFileOptions[i];
    const std::string& path = options.paths[i];
    if (path.empty()) continue;
    files.push_back({std::string(name), path});
    if (name == "api-key-file") server.api_key_file = path;
    if (name == "screening") server.screening_file = path;
    if (name == "ssl-cert-file") tls.certificate = path;
    if (name == "ssl-key-file") tls.key = path;
  }
  if (!tls.certificate.empty()) server.tls = tls;
  if (Status status = HttpServer::Check(server); !status) return Propagate(status);
  if (Status status = CopyForService(files, options.folder); !status) return Propagate(status);
  return 0;
}

}  // namespace

void AddServiceFilesCommand(Commands& commands) {
  auto options = std::make_shared<FilesOptions>();
  CLI::App* command =
      commands.Add("service-files", "Copy files of a service to where its user can read them",
                   [options] { return CopyFiles(*options); });
  command->add_option("FOLDER", options->folder, "Where the copies go, by the options' names")
      ->required();
  for (size_t i = 0; i < options->paths.size(); ++i) {
    const std::string name = "--" + std::string(kServiceFileOptions[i]);
    command->add_option(name, options->paths[i], "As quern serve has it")->type_name("FILE");
  }
  command->get_option("--ssl-cert-file")->needs("--ssl-key-file");
  command->get_option("--ssl-key-file")->needs("--ssl-cert-file");
  command->footer(kHelp);
}

}  // namespace quern
