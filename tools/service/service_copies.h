// Copies of files that root alone can read, for a service whose user cannot.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// Options of `quern serve`, without their dashes, that name a small file which a service has a
/// copy of, under the option's name.
inline constexpr std::array<std::string_view, 5> kServiceFileOptions = {
    "api-key-file", "chat-template-file", "screening", "ssl-cert-file", "ssl-key-file"};

struct ServiceFile {
  std::string name;  ///< one of kServiceFileOptions
  std::string path;
};

/// Puts a copy of each file into `folder`, by its name, that the folder's owner alone can read.
/// None is replaced before all are written, and each at once: who reads meanwhile finds an old copy
/// or a new one. What the owner has put there cannot lead this to write elsewhere. Errors: those of
/// ReadText; kIo.
Status CopyForService(const std::vector<ServiceFile>& files, const std::string& folder);

}  // namespace quern
