// HTTP requests and replies as handlers see them, whatever library reads and writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "server/http/http_error.h"

namespace quern {

/// Fields in their order. Upper and lower case of names are alike.
class HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Field> fields) : fields_(fields) {}

  void Add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  void Add(const HttpHeaders& others) {
    fields_.insert(fields_.end(), others.begin(), others.end());
  }
  void Erase(std::string_view name);

  size_t Count(std::string_view name) const;
  bool Has(std::string_view name) const { return Count(name) > 0; }
  /// The value of the first field of that name; "" where there is none.
  std::string Get(std::string_view name) const;
  /// The values of all fields of that name.
  std::vector<std::string> All(std::string_view name) const;

  std::vector<Field>::const_iterator begin() const { return fields_.begin(); }
  std::vector<Field>::const_iterator end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

/// Lives while it is handled.
struct HttpRequest {
  std::string method;
  std::string target;  ///< path and query as they were sent
  std::string path;
  std::multimap<std::string, std::string> parameters;  ///< of the query
  HttpHeaders headers;
  std::string_view body;  ///< of what reads it: empty before it has been read
  std::string remote;     ///< the client's address
  std::function<bool()> is_connection_closed = [] { return false; };

  bool HasParameter(const std::string& name) const { return parameters.contains(name); }
  /// "" where there is none.
  std::string Parameter(const std::string& name) const;
};

/// Where the pieces of a stream go.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  /// False when the client is gone.
  virtual bool Write(std::string_view piece) = 0;
  virtual bool is_writable() const = 0;
};

/// A body that is made while it is written, by the thread of its connection.
class BodyStream {
 public:
  enum class State : uint8_t {
    kGoesOn,
    kEnded,   ///< the body is whole
    kBroken,  ///< it will never be, and the connection ends
  };

  virtual ~BodyStream() = default;
  /// Waits for the next piece for a moment, and writes it. Until it no longer goes on.
  virtual State WriteNext(HttpSink& sink) = 0;
};

struct HttpReply {
  int status = 200;
  HttpHeaders headers{};
  std::string content_type{};
  std::variant<std::string, std::shared_ptr<BodyStream>> body{};
};

/// What a handler makes of a request.
using ReplyResult = tl::expected<HttpReply, NoReply>;

}  // namespace quern
