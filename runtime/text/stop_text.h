// Stop texts in a stream: finds the first one and holds back text that may be the start of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern {

class StopText {
 public:
  explicit StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Takes more text and returns what is certain not to belong to a stop text. After a match,
  /// nothing.
  std::string Add(std::string_view text);
  /// What was held back, when the answer ends otherwise.
  std::string Finish();

  /// The stop text that ended the answer; empty before.
  const std::string& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
};

}  // namespace quern
