// Tells the service manager how the service is: the datagrams of sd_notify(3), which are simple
// enough to need no library.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// A status is a line for people (`systemctl status`); what does not fit a line is escaped. Any
/// thread. A message that does not arrive is no error: the manager may be starting anew.
class ServiceNotifier {
 public:
  /// For the socket that $NOTIFY_SOCKET names; without the variable, one that tells nobody. Errors:
  /// as Create.
  static Result<std::unique_ptr<ServiceNotifier>> FromEnvironment();
  /// `address`: an absolute path, or `@name` in the abstract namespace; empty: it tells nobody.
  /// Errors: kInvalidArgument for any other address, and one that is too long; kIo.
  static Result<std::unique_ptr<ServiceNotifier>> Create(std::string_view address);
  ~ServiceNotifier();
  ServiceNotifier(const ServiceNotifier&) = delete;
  ServiceNotifier& operator=(const ServiceNotifier&) = delete;

  /// It starts, and will send its next message within `patience`, whatever the manager's own limit.
  void Starting(std::string_view status, std::chrono::seconds patience) const;
  /// It reads again what may have changed; Ready ends that.
  void Reloading(std::string_view status) const;
  /// It does its work from here on; also after a reload.
  void Ready(std::string_view status) const;
  /// It works still: expected again within the manager's watchdog interval.
  void Alive() const;
  /// It has begun to stop.
  void Stopping(std::string_view status) const;

 private:
  explicit ServiceNotifier(std::string address) : address_(std::move(address)) {}

  /// `assignments`: lines of NAME=VALUE.
  void Send(std::string_view assignments) const;

  std::string address_;  ///< as sockaddr_un has it: a zero before an abstract name
  int socket_ = -1;
};

}  // namespace quern
