// Where spans are sent: a URL of OTLP over HTTP, from an option or OpenTelemetry's variables.
#pragma once

#include <string>

#include "gguf/base/result.h"

namespace quern {

/// `option`, else OTEL_EXPORTER_OTLP_ENDPOINT, with /v1/traces behind it; between the two
/// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it is. Empty where all of them are, and without an option
/// also where OTEL_SDK_DISABLED is true. Errors: kInvalidArgument, naming the variable or
/// --otlp-endpoint.
Result<std::string> TracesUrl(const std::string& option);

/// The host in such a URL, without a port and brackets.
std::string HostOfUrl(const std::string& url);

}  // namespace quern
