#include "tools/cli/manual_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

namespace quern {
namespace {

constexpr const char* kDescription = R"(.SH DESCRIPTION
Quern loads language models from GGUF files and runs them on the processor.
It answers on the command line and over HTTP, with OpenAI's interface and llama.cpp's.
Without a MODEL a small one that is built in is used, which shows that all works.
.PP
Options may be written
.BI \-\-name " value"
or
.BI \-\-name= value\fR.
)";

constexpr const char* kEnvironment = R"(.SH ENVIRONMENT
.TP
.B HF_TOKEN
Token for the hub of models.
It is sent to the hub alone.
.TP
.BR HF_ENDPOINT ", " MODEL_ENDPOINT
Address of the hub, unless it is https://huggingface.co.
.TP
.BR SSL_CERT_FILE ", " SSL_CERT_DIR
A file of certificates in PEM format, and a folder of such under the names that
.B openssl rehash
gives, that the hub's certificate is checked with instead of the system's file or folder.
.TP
.BR QUERN_CACHE ", " XDG_CACHE_HOME
Where downloaded models are kept; see FILES.
.TP
.B NO_COLOR
Where it is set, nothing is coloured.
.PP
These set options that are not given:
)";

constexpr const char* kEnd = R"(.SH FILES
.TP
.I ~/.cache/quern
Downloaded models.
.B QUERN_CACHE
names another folder;
.B XDG_CACHE_HOME
one that the folder
.I quern
lies in.
.TP
.I quern.keys
Names, digests and limits of API keys, as
.B quern key new
writes them and
.B \-\-api\-key\-file
reads them.
.TP
.IR quern.crt ", " quern.key
Certificate and private key, as
.B quern cert
makes them.
.TP
.I models.toml
Models and routers for
.BR "quern serve \-\-models\-file" ,
where
.B quern tune \-\-write
puts its settings.
server/README.md shows one.
.TP
.I /usr/share/quern/default.rules
Rules for
.BR "quern serve \-\-screening" ,
to be used as they are or to begin with.
.TP
.I /etc/systemd/system/quern.service
The unit that
.B quern install\-service
writes.
.SH SIGNALS
.B quern serve
knows these:
.TP
.B SIGHUP
Reads keys, certificate, rules of screening, and the file or folder of models again.
What runs goes on; a bad file changes nothing, and the log says which and why.
A server that has none of these ends at once.
.TP
.B SIGUSR1
Opens the logs again, after a rotator has renamed them.
.TP
.BR SIGTERM ", " SIGINT
Stops: answers under way have the time of
.B \-\-drain\-timeout
to end; at the second signal they have none.
.SH EXIT STATUS
.TP
.B 0
All went well.
.TP
.B 1
It did not; the last line on standard error begins with
.B error:
and says why.
.TP
.B 130
.B quern chat
was interrupted.
.SH EXAMPLES
.TP
.B quern chat
Talk with the model that is built in.
.TP
.B quern run MODEL.gguf \-p \(dqThe miller said\(dq
Continue a text.
.TP
.B quern pull ORG/REPO:Q4_K_M
Download a model, and print where its file is.
.TP
.B quern serve MODEL.gguf
Serve it on 127.0.0.1, port 8080.
.TP
.B quern key new alice \-\-rate 60/min
Make an API key, for
.BR "quern serve \-\-api\-key\-file quern.keys" .
.TP
.B quern install\-service /srv/models/MODEL.gguf
Have systemd serve it from now on; as root.
.SH SEE ALSO
The documents, in
.I /usr/share/doc/quern
where a package installed them:
README.md; server/README.md, serving and operating; server/SIGNATURES.md, how
requests are signed; tools/monitoring/README.md, a Grafana dashboard, Prometheus
alerts, and tracing.
)";

/// Fewer commands than these list an option each by itself.
constexpr size_t kCommonToCommands = 3;

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '\\':
        escaped += "\\e";
        break;
      case '-':
        escaped += "\\-";
        break;
      case '\'':
        escaped += "\\(aq";
        break;
      case '`':
        escaped += "\\(ga";
        break;
      case '"':
        escaped += "\\(dq";
        break;
      case '^':
        escaped += "\\(ha";
        break;
      case '~':
        escaped += "\\(ti";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

/// A line of text; one that begins with a dot would be a request.
std::string Line(std::string_view text) {
  return (text.starts_with('.') ? "\\&" : "") + Escaped(text) + "\n";
}

std::string Entry(const ArgumentDescription& argument) {
  std::string names;
  for (const std::string& name : argument.names) {
    names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", Escaped(name));
  }
  // The name of what stands alone is its word.
  const bool has_word = argument.names.front().starts_with('-') && !argument.word.empty();
  if (has_word) names += fmt::format(" \\fI{}\\fR", Escaped(argument.word));
  return fmt::format(".TP\n{}\n{}", names, Line(argument.description));
}

/// Entries under the headings of their groups, of which the first has none.
std::string Entries(const std::vector<ArgumentDescription>& arguments) {
  std::vector<std::string> groups;
  for (const ArgumentDescription& argument : arguments) {
    if (std::count(groups.begin(), groups.end(), argument.group) == 0) {
      groups.push_back(argument.group);
    }
  }
  std::string text;
  for (const std::string& group : groups) {
    if (group != groups.front()) text += fmt::format(".PP\n{}:\n", Escaped(group));
    for (const ArgumentDescription& argument : arguments) {
      if (argument.group == group) text += Entry(argument);
    }
  }
  return text;
}

using CommandList = std::vector<std::pair<std::string, const CommandDescription*>>;

/// The first, if it has one.
std::string LongName(const ArgumentDescription& option) {
  const auto is_long = [](const std::string& name) { return name.starts_with("--"); };
  const auto name = std::find_if(option.names.begin(), option.names.end(), is_long);
  return name == option.names.end() ? option.names.front() : *name;
}

bool IsHelp(const ArgumentDescription& option) { return LongName(option) == "--help"; }

/// The options that many commands have, in the order of the first one's help.
std::vector<ArgumentDescription> CommonOptions(const CommandList& commands) {
  std::vector<ArgumentDescription> common;
  for (const auto& [words, command] : commands) {
    for (const ArgumentDescription& option : command->options) {
      const auto has_option = [&](const auto& other) {
        const auto& options = other.second->options;
        return std::count(options.begin(), options.end(), option) > 0;
      };
      const bool is_new = std::count(common.begin(), common.end(), option) == 0;
      const auto n_with = std::count_if(commands.begin(), commands.end(), has_option);
      if (is_new && !IsHelp(option) && static_cast<size_t>(n_with) >= kCommonToCommands) {
        common.push_back(option);
      }
    }
  }
  return common;
}

std::string Usage(const std::string& program, const std::string& words,
                  const CommandDescription& command) {
  std::string text = fmt::format("\\fB{}{}\\fR [\\fIoptions\\fR]", program, Escaped(words));
  for (const ArgumentDescription& positional : command.positionals) {
    text += fmt::format(" {}\\fI{}\\fR{}{}", positional.is_required ? "" : "[",
                        positional.names.front(), positional.may_repeat ? "..." : "",
                        positional.is_required ? "" : "]");
  }
  return text;
}

std::string CommandSection(const std::string& program, const std::string& words,
                           const CommandDescription& command,
                           const std::vector<ArgumentDescription>& common) {
  std::vector<ArgumentDescription> own = command.positionals;
  std::vector<std::string> others;
  for (const ArgumentDescription& option : command.options) {
    if (IsHelp(option)) continue;
    if (std::count(common.begin(), common.end(), option) == 0) {
      own.push_back(option);
    } else {
      others.push_back(fmt::format("\\fB{}\\fR", Escaped(LongName(option))));
    }
  }
  std::string text =
      fmt::format(".SS {}\n{}", Usage(program, words, command), Line(command.description + "."));
  text += Entries(own);
  if (!others.empty()) {
    text += fmt::format(".PP\nOf the common options: {}.\n", fmt::join(others, ", "));
  }
  return text;
}

/// The options' variables, each with its option and the commands that have it.
std::string Variables(const CommandList& commands) {
  std::map<std::string, std::string> options;
  std::map<std::string, std::vector<std::string>> readers;
  for (const auto& [words, command] : commands) {
    for (const ArgumentDescription& option : command->options) {
      if (option.variable.empty()) continue;
      options[option.variable] = LongName(option);
      readers[option.variable].push_back(words.substr(1));
    }
  }
  std::string text;
  for (const auto& [variable, option] : options) {
    text += fmt::format(".TP\n.B {}\n{}", variable,
                        Line(fmt::format("{} ({})", option, fmt::join(readers[variable], ", "))));
  }
  return text;
}

}  // namespace

std::string ManualPage(const CommandDescription& root) {
  const CommandList commands = AllCommands(root);
  const std::vector<ArgumentDescription> common = CommonOptions(commands);
  std::string text = fmt::format(
      ".TH QUERN 1 \"\" \"quern {}\" \"User Commands\"\n"
      ".SH NAME\n{} \\- run GGUF language models on CPUs\n"
      ".SH SYNOPSIS\n\\fB{}\\fR \\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n{}"
      ".SH OPTIONS\n{}.SH COMMANDS\n",
      QUERN_VERSION, root.name, root.name, kDescription, Entries(root.options));
  for (const auto& [words, command] : commands) {
    if (command->commands.empty()) text += CommandSection(root.name, words, *command, common);
  }
  return text + ".SH COMMON OPTIONS\n" + Entries(common) + kEnvironment + Variables(commands) +
         kEnd;
}

}  // namespace quern
