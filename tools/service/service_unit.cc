#include "tools/service/service_unit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gguf/base/printable.h"
#include "server/access/access_control.h"

namespace quern {
namespace {

/// What every unit says, whatever is served. The process for chat templates
/// (runtime/machine/sandbox.h) is forked and lives under all of it: it takes no namespace and no
/// privilege, but limits of its own (prlimit), a timer and a socket pair.
constexpr std::string_view kRights = R"(
# What a chat template does to its own process must not end the service.
OOMPolicy=continue
LimitNOFILE=4096
# Prompts stay out of core dumps.
LimitCORE=0

UMask=0077
NoNewPrivileges=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@aio @chown @keyring @privileged @resources @setuid
SystemCallErrorNumber=EPERM
)";

/// Where the copies of files are: a folder of the service's user, by the unit's name.
constexpr std::string_view kCopies = "%t/%N";

/// Characters that need no quotes in a word.
bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("/.-_,+=:@%").find(c) != std::string_view::npos;
}

bool IsPlainWord(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), IsPlain);
}

/// In a unit % begins a specifier.
std::string WithPercents(std::string_view text) {
  std::string result;
  for (const char c : text) result.append(c == '%' ? 2 : 1, c);
  return result;
}

Status CheckPath(std::string_view path) {
  if (Printable(path, path.size()) == path && path.find('"') == std::string_view::npos &&
      path.back() != ' ') {
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "a unit cannot name the file {}: a quote, a backslash, a space at the end or "
              "something that is no text is in its path",
              Quoted(path, path.size()));
}

/// A path of those that CheckPath lets pass.
std::string PathWord(std::string_view path) {
  const bool is_plain = IsPlainWord(path) && path.find(':') == std::string_view::npos;
  return fmt::format("{0}{1}{0}", is_plain ? "" : "\"", WithPercents(path));
}

std::string PathWords(const std::vector<std::string>& paths) {
  std::string words;
  for (const std::string& path : paths) {
    if (!words.empty()) words += ' ';
    words += PathWord(path);
  }
  return words;
}

/// One option a line.
std::string CommandLine(const ServiceUnit& unit) {
  std::string line = fmt::format(":{}", PathWord(unit.executable));
  for (const std::string& argument : unit.arguments) {
    line += argument.starts_with("--") ? " \\\n    " : " ";
    line += UnitWord(argument);
  }
  for (const ServiceFile& file : unit.copied_files) {
    line += fmt::format(" \\\n    --{0} {1}/{0}", file.name, kCopies);
  }
  return line;
}

/// Root copies the files.
std::string CopyLine(const ServiceUnit& unit) {
  std::string line = fmt::format("+:{} service-files {}", PathWord(unit.executable), kCopies);
  for (const ServiceFile& file : unit.copied_files) {
    line += fmt::format(" \\\n    --{} {}", file.name, UnitWord(file.path));
  }
  return line;
}

/// What is run for the service, and where its files are.
std::string CommandLines(const ServiceUnit& unit) {
  std::string text;
  if (!unit.copied_files.empty()) {
    text += fmt::format(
        "# Files that only root can read: copies for the service, made anew at a reload.\n"
        "RuntimeDirectory=%N\nRuntimeDirectoryMode=0500\nExecStartPre={}\n",
        CopyLine(unit));
  }
  text += fmt::format("ExecStart={}\n", CommandLine(unit));
  if (!unit.can_reload) return text;
  if (unit.has_several) {
    // As the service's user, who must be able to read the models.
    ServiceUnit check = unit;
    check.arguments.emplace_back("--check");
    text += fmt::format("ExecReload={}\n", CommandLine(check));
  }
  if (!unit.copied_files.empty()) text += fmt::format("ExecReload={}\n", CopyLine(unit));
  // From the notice on a reload lasts until the server says that it is ready, however late it gets
  // the signal; Type=notify-reload, which does the same, is unknown to systemd 252.
  return text +
         "ExecReload=/usr/bin/systemd-notify RELOADING=1\n"
         "ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n";
}

}  // namespace

std::string UnitWord(std::string_view argument) {
  if (IsPlainWord(argument)) return WithPercents(argument);
  std::string word = "\"";
  while (!argument.empty()) {
    const char c = argument.front();
    const size_t length = Utf8SequenceLength(argument);
    if (length == 0 || static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      word += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      if (c == '"' || c == '\\') word += '\\';
      word += WithPercents(argument.substr(0, length));
    }
    argument.remove_prefix(std::max<size_t>(length, 1));
  }
  word += '"';
  return word;
}

bool IsHiddenByUnit(std::string_view path) {
  constexpr std::array<std::string_view, 5> kHidden = {"/home/", "/root/", "/run/user/", "/tmp/",
                                                       "/var/tmp/"};
  return std::any_of(kHidden.begin(), kHidden.end(),
                     [&](std::string_view folder) { return path.starts_with(folder); });
}

Result<std::string> UnitText(const ServiceUnit& unit) {
  std::vector<std::string> paths = {unit.executable};
  paths.insert(paths.end(), unit.needed_files.begin(), unit.needed_files.end());
  paths.insert(paths.end(), unit.revealed_files.begin(), unit.revealed_files.end());
  for (const ServiceFile& file : unit.copied_files) paths.push_back(file.path);
  for (const std::string& path : paths) {
    if (Status status = CheckPath(path); !status) return Propagate(status);
  }

  const bool is_loopback = IsLoopback(unit.host) && !unit.calls_out;
  std::string text = "[Unit]\nDescription=Quern, a server of language models\n";
  text += is_loopback ? "After=network.target\n"
                      : "Wants=network-online.target\nAfter=network-online.target\n";
  std::vector<std::string> mounted = unit.needed_files;
  for (const ServiceFile& file : unit.copied_files) mounted.push_back(file.path);
  if (!mounted.empty()) {
    text += fmt::format("RequiresMountsFor={}\n", PathWords(mounted));
  }
  text +=
      "# What fails ten times in ten minutes stays down.\n"
      "StartLimitIntervalSec=10min\nStartLimitBurst=10\n";

  text += "\n[Service]\nType=notify\nNotifyAccess=exec\n" + CommandLines(unit);
  text += unit.user.empty() ? "DynamicUser=yes\n" : fmt::format("User={}\n", unit.user);
  text += fmt::format("TimeoutStartSec={}\nTimeoutStopSec={}\nWatchdogSec={}\n",
                      unit.start_timeout.count(), unit.stop_timeout.count(), unit.watchdog.count());
  text += "KillMode=mixed\nRestart=on-failure\nRestartSec=5\n\n";
  text += fmt::format("MemoryMax={}", unit.memory_max);
  text += kRights;
  if (unit.has_low_port) {
    // The right counts in the machine's own namespace of users alone.
    text +=
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n";
  } else {
    text += "CapabilityBoundingSet=\nPrivateUsers=yes\n";
  }
  if (!unit.log_folder.empty()) {
    text += fmt::format("LogsDirectory={}\nLogsDirectoryMode=0750\n", UnitWord(unit.log_folder));
  }
  if (!unit.state_folder.empty()) {
    text +=
        fmt::format("StateDirectory={}\nStateDirectoryMode=0700\n", UnitWord(unit.state_folder));
  }
  if (is_loopback) text += "IPAddressDeny=any\nIPAddressAllow=localhost\n";
  if (unit.revealed_files.empty()) {
    text += "ProtectHome=yes\n";
  } else {
    text +=
        fmt::format("ProtectHome=tmpfs\nBindReadOnlyPaths={}\n", PathWords(unit.revealed_files));
  }
  text += "\n[Install]\nWantedBy=multi-user.target\n";
  return text;
}

}  // namespace quern
