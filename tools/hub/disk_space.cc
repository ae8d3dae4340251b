#include "tools/hub/disk_space.h"

#include <filesystem>
#include <system_error>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"

namespace quern {

Status CheckDiskSpace(const std::string& folder, uint64_t n_bytes) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error || space.available >= n_bytes) return {};
  return Fail(ErrorCode::kIo, "{}: {} are to come, but the disk has {} free",
              Printable(folder, folder.size()), FormatBytes(n_bytes), FormatBytes(space.available));
}

}  // namespace quern
