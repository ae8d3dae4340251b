// A file written for a test, with the folders that it lies in.
#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>

namespace quern::testing {

inline void WriteFile(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace quern::testing
