#!/bin/sh
# Installs what the tests need (Debian; root or sudo), builds, and runs tests.
# usage: run-tests.sh [PRESET [TEST...]]   PRESET: release (the default), debug, asan-ubsan, tsan, fuzz, aarch64.
#                                          All tests, or only the executables TEST..., such as engine_test
#        run-tests.sh changed [BASE [MOST]]    debug: the tests of what changed since the commit BASE (default: origin/main),
#                                          at most MOST executables
#        run-tests.sh sanitized            asan-ubsan: the tests that tests/sanitized.txt names
#        run-tests.sh soak [SECONDS]       release: the server under mixed traffic (default: 600)
set -eu
cd "$(dirname "$0")/.."
preset=${1:-release}
[ $# = 0 ] || shift
if [ "$preset" = aarch64 ] || [ "$preset" = fuzz ]; then
  [ $# = 0 ] || { echo "error: $preset takes no further arguments" >&2; exit 2; }
fi

fetch_peers() {
  tools/setup/fetch-peers.sh ||
    echo "llama.cpp could not be fetched: the tests that compare with it will be skipped"
}

# Runs the test executables $2... of the preset $1; those that this machine has no libraries for are unknown to its build.
run_some() {
  preset=$1
  shift
  tools/setup/install.sh build test
  fetch_peers
  cmake --preset "$preset" --log-level=WARNING
  known=
  for test; do
    if grep -q "^build $test: phony" "build/$preset/build.ninja"; then
      known="$known $test"
    else
      echo "$test is no test of this build" >&2
      [ "$strict" = no ] || exit 1
    fi
  done
  [ -n "$known" ] || { echo "no tests to run"; exit 0; }
  # shellcheck disable=SC2086  # a list of words
  cmake --build --preset "$preset" --target $known
  ctest --preset "$preset" --label-regex "^($(echo "$known" | sed 's/^ //; s/ /|/g'))\$"
}

strict=no
case $preset in
  changed)
    tests=$(tools/changed-tests.sh "${1:-origin/main}" "${2:-}")
    # shellcheck disable=SC2086  # a list of words
    run_some debug $tests
    exit
    ;;
  sanitized)
    strict=yes
    # shellcheck disable=SC2046  # a list of words
    run_some asan-ubsan $(sed 's/#.*//' tests/sanitized.txt)
    exit
    ;;
  soak)
    tools/setup/install.sh build test
    cmake --preset release --log-level=WARNING
    cmake --build --preset release --target quern
    exec node tests/server/soak.mjs --seconds "${1:-600}"
    ;;
  aarch64)
    tools/setup/install.sh build aarch64
    exec cmake --workflow --preset aarch64
    ;;
esac
if [ $# != 0 ]; then
  strict=yes
  run_some "$preset" "$@"
  exit
fi

tools/setup/install.sh build test
[ "$preset" != fuzz ] || tools/setup/install.sh fuzz
fetch_peers
tools/setup/fetch-clients.sh ||
  echo "the npm clients could not be fetched: the tests that drive the server with them will be skipped"
cmake --workflow --preset "$preset"
