#include "tools/model_argument.h"

#include "tools/demo_model/demo_model.h"

namespace quern {

void ModelArgument::AddTo(CLI::App* command) {
  command->add_option("MODEL,-m,--model", path_,
                      "GGUF file of the model (default: the built-in demo model)");
}

Result<GgufFile> ModelArgument::Open() const {
  if (path_.empty()) return GgufFile::FromMemory(DemoModelBytes(), "built-in demo model");
  return GgufFile::Open(path_);
}

}  // namespace quern
