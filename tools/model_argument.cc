#include "tools/model_argument.h"

namespace quern {

void ModelArgument::AddTo(CLI::App* command) {
  command->add_option("MODEL,-m,--model", path_, "GGUF file of the model");
}

Result<GgufFile> ModelArgument::Open() const {
  if (path_.empty())
    return Fail(ErrorCode::kInvalidArgument, "no model: give the path of a GGUF file");
  return GgufFile::Open(path_);
}

}  // namespace quern
