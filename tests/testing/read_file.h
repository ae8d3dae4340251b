// A whole file as a string.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace quern::testing {

/// Empty when there is no such file.
inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace quern::testing
