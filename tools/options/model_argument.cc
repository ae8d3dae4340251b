#include "tools/options/model_argument.h"

#include "gguf/base/printable.h"
#include "tools/demo_model/demo_model.h"

namespace quern {

void ModelArgument::AddTo(CLI::App* command) { Add(command, "MODEL,-m,--model"); }

void ModelArgument::AddNamedTo(CLI::App* command) { Add(command, "-m,--model"); }

void ModelArgument::Add(CLI::App* command, const std::string& names) {
  command->add_option(names, path_, "GGUF file of the model (default: the built-in demo model)")
      ->type_name("MODEL");
  hub_.AddWithNameTo(command);
}

Result<GgufFile> ModelArgument::Open() const {
  if (hub_.has_name()) {
    if (!path_.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "a file, {}, and --hf-repo: give one of them",
                  Quoted(path_));
    }
    const Result<std::string> path = hub_.Find();
    if (!path) return tl::unexpected(path.error());
    return GgufFile::Open(*path);
  }
  if (path_.empty()) return GgufFile::FromMemory(DemoModelBytes(), "built-in demo model");
  return GgufFile::Open(path_);
}

}  // namespace quern
