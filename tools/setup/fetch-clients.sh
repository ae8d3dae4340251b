#!/bin/sh
# Puts the npm clients that the server's tests drive under .deps/clients: what tests/server/clients/package-lock.json
# pins, checked by the hashes in it. Needs npm; some seconds and a download of 20 MB. No script of a package is run.
set -eu
cd "$(dirname "$0")/../.."
source=tests/server/clients

version=$(sha256sum < "$source/package-lock.json")
case "${1-}" in
  "") ;;
  --check) [ "$(cat .deps/clients/version 2>/dev/null)" = "$version" ]; exit ;;
  *) echo "usage: $0 [--check]   (--check only tells by its exit code whether the clients are there)" >&2; exit 2 ;;
esac

if [ "$(cat .deps/clients/version 2>/dev/null)" = "$version" ]; then
  exit 0
fi
echo "fetching the npm clients for tests of the server"
mkdir -p .deps
work=$(mktemp -d .deps/clients.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM  # sh runs the line above only where it exits

cp "$source/package.json" "$source/package-lock.json" "$work"
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --silent)
echo "$version" > "$work/version"
rm -rf .deps/clients
mv "$work" .deps/clients
