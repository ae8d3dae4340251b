#!/bin/sh
# Refuses includes that go upward: gguf <- kernels <- runtime <- {server, bench}, server <- tools; tests may include all.
# usage: check-includes.sh [ROOT]   Prints each bad include as FILE:LINE:TEXT, and why it is refused.
set -eu
cd "${1:-$(dirname "$0")/..}"
status=0

# $1: what must not be included (an extended regular expression), $2: the rule; the rest: where (for grep).
refuse() {
  pattern=$1
  rule=$2
  shift 2
  found=$(grep -srnE --include='*.h' --include='*.cc' --include='*.inc' "^ *# *include *$pattern" "$@") || true
  if [ -n "$found" ]; then
    printf '%s\n^ %s\n' "$found" "$rule"
    status=1
  fi
}

refuse '[<"](kernels|runtime|server|tools|bench|tests)/' "gguf includes only gguf" gguf
refuse '[<"](runtime|server|tools|bench|tests)/' "kernels includes only kernels and gguf" kernels
refuse '[<"](server|tools|bench|tests)/' "runtime includes only runtime and what is below" runtime
refuse '[<"](tools|bench|tests)/' "server includes only server and what is below" server
refuse '[<"](bench|tests)/' "tools includes only tools and what is below" tools
refuse '[<"](server|tools|tests)/' "bench includes only bench, runtime and what is below" bench
refuse '"\.\.?/' 'a path starts at the root: "folder/file.h"' gguf kernels runtime server tools bench tests
refuse '[<"](tbb|oneapi)/' "only runtime/worker_pool.cc uses oneTBB" --exclude=worker_pool.cc \
  gguf kernels runtime server tools bench tests
exit $status
