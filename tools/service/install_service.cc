// `quern install-service`: writes a systemd unit that serves a model with few rights.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/format_number.h"
#include "gguf/base/write_text.h"
#include "gguf/split_name.h"
#include "runtime/machine/process_memory.h"
#include "server/access/access_control.h"
#include "server/http_server.h"
#include "server/telemetry/otlp_endpoint.h"
#include "tools/cli/commands.h"
#include "tools/serve/serve_options.h"
#include "tools/service/file_access.h"
#include "tools/service/service_unit.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnitFolder = "/etc/systemd/system";
constexpr const char* kUnitName = "quern.service";

/// Files that the service writes, each in a folder of the service's name.
struct WrittenFile {
  const char* option;
  const std::string& (*path)(const ServeOptions&);  ///< empty where it was not given
  const char* folders;
  std::string ServiceUnit::*folder;
};
constexpr const char* kStateFolders = "/var/lib/";
constexpr const char* kUsageOption = "--usage-file";
const std::string& AuditPath(const ServeOptions& options) { return options.audit.file; }
const std::string& LogPath(const ServeOptions& options) { return options.log.file; }
const std::string& UsagePath(const ServeOptions& options) { return options.http.usage_file; }
constexpr std::array<WrittenFile, 3> kWrittenFiles = {
    {{"--audit-log", AuditPath, "/var/log/", &ServiceUnit::log_folder},
     {"--log-file", LogPath, "/var/log/", &ServiceUnit::log_folder},
     {kUsageOption, UsagePath, kStateFolders, &ServiceUnit::state_folder}}};

/// Beside the model's estimate there are connections with what they send, the templates' process,
/// and the heap's losses.
constexpr uint64_t MemoryMaxFor(uint64_t estimate) {
  return estimate + estimate / 8 + (uint64_t{1} << 30);
}

/// A step takes about a second, but with the weights in the file's mapping the first one may have
/// to read all of them, from a slow disk.
constexpr std::chrono::seconds kWatchdog{120};
constexpr uint64_t kSlowDiskBytes = 50'000'000;  // a second

/// To open the model; while its weights are loaded, the server asks for more time.
constexpr std::chrono::seconds kStartTimeout{300};
/// Beside the answers' time, when the service stops: a step under way, and the end.
constexpr std::chrono::seconds kStopTime{30};

constexpr int kFirstFreePort = 1024;  // those below take CAP_NET_BIND_SERVICE

constexpr const char* kHelp = R"(
It takes the options of quern serve, and writes them into the unit with those of the environment.
The unit is made for this machine: for its memory, and for where the model lies.

  quern install-service /srv/models/MODEL.gguf --host 0.0.0.0 --api-key-file /etc/quern/keys
  systemctl daemon-reload             # systemd reads the unit
  systemctl enable --now quern        # it starts now, and with the machine
  systemctl status quern              # loading, or ready; the model and the address
  journalctl -u quern -f              # its log
  systemd-analyze security quern      # what it has no right to

Without --user-name the service has a user of its own, which exists while it runs. All must then be
able to read the model (chmod o+r MODEL.gguf). In /home, /root and /tmp the service sees that file
alone.

Only root need be able to read the files of keys, certificates, screening rules and templates: the
service gets copies. After a change of them, or of a file or folder of models:

  systemctl reload quern              # answers under way go on

A file that the server would refuse changes nothing: the reload fails, and the log says where the
fault is. A template of one model is read at the start alone.

Logs must be in /var/log/quern, or in the folder there that has the name of another unit (--output).
The tokens that keys have used today are kept in /var/lib/quern/usage, likewise. For logrotate, in
/etc/logrotate.d/quern:

  /var/log/quern/*.log {
    weekly
    rotate 8
    compress
    delaycompress
    missingok
    notifempty
    sharedscripts
    postrotate
      systemctl kill --kill-whom=main --signal=USR1 quern || true
    endscript
  }

)";

struct InstallOptions {
  ServeOptions serve;
  std::vector<const CLI::Option*> serve_options;  ///< as they are given, in the order of the help
  std::string user;
  std::string output = std::string(kUnitFolder) + "/" + kUnitName;
  bool print = false;
  bool force = false;

  /// Of the unit, without its suffix.
  std::string service_name() const { return fs::path(output).stem().string(); }
};

/// With links followed but for the file's own name, which tells split sets and models.
Result<std::string> AbsolutePath(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const fs::path folder = fs::canonical(absolute.parent_path(), error);
  if (error) return Fail(ErrorCode::kNotFound, "{}: {}", path, error.message());
  return (folder / absolute.filename()).string();
}

Status CheckOptions(const InstallOptions& options) {
  const ServeOptions& serve = options.serve;
  if (!serve.http.api_keys.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--api-key would stand in the unit for all to read; --api-key-file keeps keys");
  }
  if (serve.model.model.hub().has_token()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--hf-token would stand in the unit for all to read, and a service asks no hub");
  }
  if (serve.model.model.hub().has_name()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--hf-repo is not for a service, which has no folder for models: give the file, "
                "which `quern pull` prints");
  }
  for (const WrittenFile& file : kWrittenFiles) {
    const std::string folder = file.folders + options.service_name() + "/";
    const std::string& path = file.path(serve);
    if (!path.empty() && (!path.starts_with(folder) || path.find("/..") != std::string::npos)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} is {}: the service can write it to a file in {} alone", file.option, path,
                  folder);
    }
  }
  return {};
}

/// The file of a model, or all of a split set.
std::vector<std::string> FilesOf(const std::string& path) {
  std::vector<std::string> files = {path};
  if (const std::optional<SplitName> split = ParseSplitName(path)) {
    for (uint32_t i = 2; i <= split->count; ++i) {
      files.push_back(SplitPath(split->prefix, i, split->count));
    }
  }
  return files;
}

/// What is served, as the unit needs it.
struct ServedModels {
  std::vector<std::string> arguments;  ///< that name it
  std::vector<std::string> files;      ///< that the service reads, and folders
  uint64_t memory_bytes = 0;
  uint64_t mapped_bytes = 0;  ///< of the largest model whose weights stay in the file's mapping
};

/// One model. Its cache is fixed: the service must not fit another to MemoryMax.
Result<ServedModels> TheModel(const InstallOptions& options) {
  const ServedModelOptions& model = options.serve.model;
  // What is free now may be held by the service that this one replaces.
  Result<PlannedModel> planned = PlanModel(model, ReadProcessMemory().limit, {});
  if (!planned) return Propagate(planned);
  ServedModels served;
  if (!model.model.path().empty()) {  // else the built-in one
    Result<std::string> path = AbsolutePath(model.model.path());
    if (!path) return Propagate(path);
    served.arguments = {"--model", *path};
    served.files = FilesOf(*path);
  }
  if (model.engine.kv_tokens == 0) {
    served.arguments.insert(served.arguments.end(),
                            {"--kv-tokens", std::to_string(planned->plan.kv_tokens)});
  }
  served.memory_bytes = planned->plan.estimate.total();
  if (model.load_mode == LoadMode::kMmap) served.mapped_bytes = planned->served.info.weight_bytes;
  return served;
}

/// A file or a folder of models.
Result<ServedModels> SeveralModels(const InstallOptions& options) {
  const ServeOptions& serve = options.serve;
  Result<ModelList> list = serve.ListModels();
  if (!list) return Propagate(list);
  uint64_t most = serve.models_bytes;
  if (most == 0) most = ReadProcessMemory().limit / 4 * 3;
  ServedModels served;
  const bool is_file = !serve.models_file.empty();
  Result<std::string> source = AbsolutePath(is_file ? serve.models_file : serve.models_folder);
  if (!source) return Propagate(source);
  served.arguments = {is_file ? "--models-file" : "--models-dir", *source};
  served.files = {*source};
  LoadContext context;
  context.kv_share = kSharedKvShare;
  for (const ServedModelOptions& model : list->models) {
    Result<PlannedModel> planned = PlanModel(model, most, context);
    if (!planned) {
      if (!is_file) continue;  // as quern serve leaves it out
      return Propagate(planned);
    }
    const ModelInfo& info = planned->served.info;
    Result<std::string> path = AbsolutePath(info.path);
    if (!path) return Propagate(path);
    const std::vector<std::string> files = FilesOf(*path);
    served.files.insert(served.files.end(), files.begin(), files.end());
    served.memory_bytes += planned->served.memory_bytes;
    if (model.load_mode == LoadMode::kMmap) {
      served.mapped_bytes = std::max(served.mapped_bytes, info.weight_bytes);
    }
  }
  if (serve.models_bytes > 0) {
    served.memory_bytes = serve.models_bytes;
  } else {
    served.memory_bytes = std::min(served.memory_bytes, most);
    served.arguments.insert(served.arguments.end(),
                            {"--models-memory", std::to_string(served.memory_bytes)});
  }
  return served;
}

/// What is given of the options of `quern serve`, but for the files, as a command line.
std::vector<std::string> ArgumentsOf(const InstallOptions& options) {
  std::vector<std::string> arguments;
  for (const CLI::Option* option : options.serve_options) {
    const std::string name = "--" + option->get_lnames().front();
    if (name == "--model" || name == "--models-file" || name == "--models-dir" ||
        std::count(kServiceFileOptions.begin(), kServiceFileOptions.end(), name.substr(2)) > 0) {
      continue;
    }
    for (const std::string& value : option->results()) {
      if (option->get_expected_max() == 0) {
        arguments.push_back(value == "true" ? name : name + "=" + value);
      } else if (value.starts_with('-')) {
        arguments.push_back(name + "=" + value);
      } else {
        arguments.insert(arguments.end(), {name, value});
      }
    }
  }
  return arguments;
}

Result<ServiceUnit> MakeUnit(InstallOptions& options) {
  if (Status status = CheckOptions(options); !status) return Propagate(status);
  ServeOptions& serve = options.serve;
  if (Status status = serve.Finish(); !status) return Propagate(status);
  if (Status status = HttpServer::Check(serve.http); !status) return Propagate(status);
  Result<ServedModels> served = serve.has_several() ? SeveralModels(options) : TheModel(options);
  if (!served) return Propagate(served);

  ServiceUnit unit;
  unit.executable = fs::canonical("/proc/self/exe").string();
  unit.arguments = {"serve"};
  unit.arguments.insert(unit.arguments.end(), served->arguments.begin(), served->arguments.end());
  const std::vector<std::string> given = ArgumentsOf(options);
  unit.arguments.insert(unit.arguments.end(), given.begin(), given.end());
  // In the order of the names.
  const std::array<const std::string*, kServiceFileOptions.size()> copied = {
      &serve.http.api_key_file, &serve.model.chat_template.path(), &serve.http.screening_file,
      &serve.tls.certificate, &serve.tls.key};
  for (size_t i = 0; i < copied.size(); ++i) {
    if (copied[i]->empty()) continue;
    Result<std::string> path = AbsolutePath(*copied[i]);
    if (!path) return Propagate(path);
    unit.copied_files.push_back({std::string(kServiceFileOptions[i]), *path});
  }
  unit.can_reload = serve.can_reload();
  unit.has_several = serve.has_several();
  unit.user = options.user;
  unit.needed_files = served->files;
  unit.needed_files.push_back(unit.executable);
  for (const std::string& needed : unit.needed_files) {
    if (IsHiddenByUnit(needed) || IsHiddenByUnit(fs::canonical(needed).string())) {
      unit.revealed_files.push_back(needed);
    }
  }
  unit.host = serve.http.host;
  if (!serve.tracing.endpoint.empty()) {
    Result<std::string> url = TracesUrl(serve.tracing.endpoint);
    if (!url) return Propagate(url);
    unit.calls_out = !IsLoopback(HostOfUrl(*url));
  }
  for (const WrittenFile& file : kWrittenFiles) {
    if (!file.path(serve).empty()) unit.*file.folder = options.service_name();
  }
  // Who counts the tokens of keys does not want a restart to forget them.
  if (!serve.http.api_key_file.empty() && serve.http.usage_file.empty()) {
    unit.state_folder = options.service_name();
    unit.arguments.insert(unit.arguments.end(),
                          {kUsageOption, kStateFolders + options.service_name() + "/usage"});
  }
  unit.has_low_port = serve.http.port > 0 && serve.http.port < kFirstFreePort;
  unit.memory_max = MemoryMaxFor(served->memory_bytes);
  unit.start_timeout = kStartTimeout;
  unit.stop_timeout = std::chrono::seconds(serve.drain_seconds) + kStopTime;
  unit.watchdog = kWatchdog;
  unit.watchdog += std::chrono::seconds(served->mapped_bytes / kSlowDiskBytes);
  return unit;
}

/// Says of every file that the service's user cannot read, and what would help.
void WarnOfUnreadable(const ServiceUnit& unit, const FileReader& reader) {
  const std::string user = unit.user.empty() ? "the service's own user" : unit.user;
  for (const std::string& file : unit.needed_files) {
    const bool is_revealed = std::count(unit.revealed_files.begin(), unit.revealed_files.end(),
                                        file) > 0;  // which leads past the folders
    const std::optional<fs::path> folder = is_revealed ? std::nullopt : reader.ClosedFolder(file);
    const bool runs = file == unit.executable || fs::is_directory(file);
    if (folder) {
      fmt::print(stderr,
                 "warning: {} cannot reach {}: chmod o+x {}, or --user-name with a user who can\n",
                 user, file, folder->string());
    } else if (!reader.MayRead(file, runs)) {
      fmt::print(stderr,
                 "warning: {} cannot {} {}: chmod o+r{} {}, or --user-name with a user who "
                 "can\n",
                 user, runs ? "run" : "read", file, runs ? "x" : "", file);
    }
  }
}

/// Says what an operator may not expect of the unit.
void WarnOfSurprises(const ServiceUnit& unit, const ServeOptions& serve) {
  const std::optional<fs::path> changed = ChangedByOthers(unit.executable);
  if (!unit.copied_files.empty() && changed) {
    fmt::print(stderr,
               "warning: root will run {} to copy files, and others than root can change {}: "
               "install the program first\n",
               unit.executable, changed->string());
  }
  if (serve.models_file.empty()) return;
  const fs::path models = fs::canonical(serve.models_file);
  if (IsHiddenByUnit(models.string())) {
    fmt::print(stderr,
               "warning: the service sees {} as it is at the start, and no other models beside it "
               "than now: outside of /home, /root and /tmp a reload finds what has changed\n",
               models.string());
  }
}

void PrintNext(const InstallOptions& options, const ServiceUnit& unit) {
  const fs::path absolute = fs::absolute(options.output);
  const std::string name = options.service_name();
  const bool is_found = absolute.parent_path() == kUnitFolder;
  fmt::print("{} is written; the service may take {} of memory. Next:\n\n", options.output,
             FormatBytes(unit.memory_max));
  fmt::print("  systemctl daemon-reload\n");
  fmt::print("  systemctl enable --now {}\n", is_found ? name : absolute.string());
  fmt::print("  systemctl status {}\n", name);
  fmt::print("  journalctl -u {} -f\n", name);
  if (!unit.can_reload) return;
  fmt::print("\nAfter a change of keys, certificates, rules or models:\n\n");
  fmt::print("  systemctl reload {}\n", name);
}

Result<int> InstallService(InstallOptions& options) {
  if (options.output == "-") {
    options.print = true;
    options.output = kUnitName;
  }
  if (fs::is_directory(options.output)) {
    options.output = (fs::path(options.output) / kUnitName).string();
  }
  if (!options.print && !options.force && fs::exists(options.output)) {
    return Fail(ErrorCode::kInvalidArgument, "{} exists already; --force replaces it",
                options.output);
  }
  Result<FileReader> reader =
      options.user.empty() ? FileReader::Stranger() : FileReader::Named(options.user);
  if (!reader) return Propagate(reader);
  Result<ServiceUnit> unit = MakeUnit(options);
  if (!unit) return Propagate(unit);
  Result<std::string> text = UnitText(*unit);
  if (!text) return Propagate(text);
  WarnOfUnreadable(*unit, *reader);
  WarnOfSurprises(*unit, options.serve);
  if (options.print) {
    fmt::print("{}", *text);
    return 0;
  }
  if (Status status = WriteText(options.output, *text); !status) return Propagate(status);
  PrintNext(options, *unit);
  return 0;
}

}  // namespace

void AddInstallServiceCommand(Commands& commands) {
  auto options = std::make_shared<InstallOptions>();
  CLI::App* command = commands.Add("install-service", "Write a systemd unit that serves a model",
                                   [options] { return InstallService(*options); });
  options->serve.AddTo(command);
  for (const CLI::Option* option : command->get_options()) {
    if (option != command->get_help_ptr()) options->serve_options.push_back(option);
  }
  command->add_option("--user-name", options->user,
                      "User that the service runs as (default: one of its own)");
  command
      ->add_option("-o,--output", options->output,
                   "Where the unit is written: a folder or file; -: stdout")
      ->type_name("FILE")
      ->capture_default_str();
  command->add_flag("--print", options->print, "Write the unit to stdout");
  command->add_flag("--force", options->force, "Replace the unit that is there");
  command->footer(kHelp + command->get_footer());
}

}  // namespace quern
