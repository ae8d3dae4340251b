// Reads the fields of a request's JSON object: types and ranges are checked, the first failure is
// kept.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// Whether a field's value is as good as its absence: null, empty, or one of `nothing`.
bool AsksForNothing(const nlohmann::json& value, const std::vector<nlohmann::json>& nothing = {});
/// Whether it could be a token of some vocabulary.
bool IsTokenId(const nlohmann::json& value);

/// A field that is absent or null leaves its value as it is. After a failure nothing is read.
class JsonFields {
 public:
  /// `object` outlives the reader.
  explicit JsonFields(const nlohmann::json& object) : object_(object) {}

  bool Has(const char* name) const;
  /// The field's value; null where it is absent.
  const nlohmann::json& Get(const char* name) const;

  template <typename T>
  void Number(const char* name, double least, double most, T* value) {
    if (!status_ || !Has(name)) return;
    const nlohmann::json& found = Get(name);
    const double number = found.is_number() ? found.get<double>() : NAN;
    const bool whole = !std::is_integral_v<T> || number == std::floor(number);
    if (number >= least && number <= most && whole) {
      *value = static_cast<T>(number);
    } else {
      Fail(name, found,
           fmt::format("a {} from {} to {}", std::is_integral_v<T> ? "whole number" : "number",
                       least, most));
    }
  }
  template <typename T>
  void Number(const char* name, double least, double most, std::optional<T>* value) {
    T number{};
    Number(name, least, most, &number);
    if (status_ && Has(name)) *value = number;
  }
  void Bool(const char* name, bool* value);
  void Text(const char* name, std::string* value);
  /// A text, or a list of at most `most` texts.
  void Texts(const char* name, size_t most, std::vector<std::string>* value);

  /// The field `name` is `found`, which is not `expected`.
  void Fail(std::string_view name, const nlohmann::json& found, std::string_view expected);
  void Fail(tl::unexpected<Error> error);
  /// Errors: kInvalidArgument naming the field, what was found and what was expected.
  const Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  Status status_;
};

}  // namespace quern
