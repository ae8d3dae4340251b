// Tracer in a build without OpenTelemetry.
#include "server/telemetry/otlp_endpoint.h"
#include "server/telemetry/tracer.h"

namespace quern {

Result<std::unique_ptr<Tracer>> Tracer::Create(const TracerOptions& options, RequestLog* log) {
  Result<std::string> url = TracesUrl(options.endpoint);
  if (!url) return Propagate(url);
  if (!options.endpoint.empty()) {
    return Fail(
        ErrorCode::kUnsupported,
        "--otlp-endpoint: this program was built without OpenTelemetry, as packages are; in "
        "its sources run `tools/setup/install.sh tracing`, and build it again");
  }
  // A variable may be meant for other programs of the machine.
  if (!url->empty() && log != nullptr) {
    log->Write(LogLevel::kWarning, "nothing is traced: built without OpenTelemetry");
  }
  return nullptr;
}

}  // namespace quern
