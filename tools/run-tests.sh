#!/bin/sh
# Installs what the tests need (Debian; root or sudo), builds everything and runs all tests.
# usage: run-tests.sh [PRESET]   PRESET: release (the default), debug, asan-ubsan, tsan, fuzz, aarch64
set -eu
cd "$(dirname "$0")/.."
preset=${1:-release}

if [ "$preset" = aarch64 ]; then
  tools/setup/install.sh build aarch64
  exec cmake --workflow --preset aarch64
fi
tools/setup/install.sh build test
if [ "$preset" = fuzz ]; then
  tools/setup/install.sh fuzz
fi
tools/setup/fetch-peers.sh ||
  echo "llama.cpp could not be fetched: the tests that compare with it will be skipped"
tools/setup/fetch-clients.sh ||
  echo "the npm clients could not be fetched: the tests that drive the server with them will be skipped"
cmake --workflow --preset "$preset"
