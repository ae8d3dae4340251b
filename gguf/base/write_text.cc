#include "gguf/base/write_text.h"

#include <span>

#include "gguf/base/output_file.h"

namespace quern {

Status WriteText(const std::string& path, std::string_view text) {
  Result<OutputFile> file = OutputFile::Create(path, text.size());
  if (!file) return Propagate(file);
  if (Status status = file->Write(std::as_bytes(std::span(text))); !status) return status;
  return file->Commit();
}

}  // namespace quern
