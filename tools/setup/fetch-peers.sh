#!/bin/sh
# Puts llama.cpp, the peer that tests compare with, under .deps/peers: headers, vocabularies and x86-64 libraries.
#   llama.cpp/{include,ggml/include,models}   from the release that the npm package node-llama-cpp carries
#   lib/*.so                                  the CPU build of the same release
#   llama-server                              its server, with --server: built from that source, minutes of work
# Needs npm and git; some seconds and a download of 45 MB. Without --server nothing that the packages hold is run.
set -eu
cd "$(dirname "$0")/../.."

version=3.22.1
source_sha256=a0d9dd80eacd2ab1cfe71aee57ac8a806487fd70b3d2a38fbec637752d9e5c5f
library_sha256=0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0

case "${1-}" in
  "" | --server) ;;
  --check) [ "$(cat .deps/peers/version 2>/dev/null)" = "$version" ]; exit ;;
  *) echo "usage: $0 [--server|--check]   (--check only tells by its exit code whether the peers are there)" >&2; exit 2 ;;
esac

is_there=
[ "$(cat .deps/peers/version 2>/dev/null)" != "$version" ] || is_there=yes
if [ "$is_there" ] && { [ "${1-}" != --server ] || [ -x .deps/peers/llama-server ]; }; then
  exit 0
fi
echo "fetching llama.cpp (node-llama-cpp $version) for comparison"
mkdir -p .deps
work=$(mktemp -d .deps/peers.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM  # sh runs the line above only where it exits

# Unpacks the npm package $1, whose archive must have the SHA-256 $2, to the folder $3.
fetch() {
  archive=$(cd "$work" && npm pack --silent "$1@$version")
  echo "$2  $work/$archive" | sha256sum --check --quiet
  mkdir "$3"
  tar -xzf "$work/$archive" -C "$3" --strip-components=1 --no-same-owner
  rm "$work/$archive"
}

fetch node-llama-cpp "$source_sha256" "$work/source"
git clone --quiet --no-checkout "$work/source/llama/gitRelease.bundle" "$work/clone"

if [ ! "$is_there" ]; then
  mkdir -p "$work/peers/llama.cpp" "$work/peers/lib"
  git -C "$work/clone" archive HEAD include ggml/include models | tar -x -C "$work/peers/llama.cpp"
  if [ "$(uname -m)" = x86_64 ]; then
    fetch @node-llama-cpp/linux-x64 "$library_sha256" "$work/library"
    mv "$work"/library/bins/linux-x64/*.so "$work/peers/lib"
  fi
  echo "$version" > "$work/peers/version"
  rm -rf .deps/peers
  mv "$work/peers" .deps/peers
fi

if [ "${1-}" = --server ]; then
  git -C "$work/clone" checkout --quiet HEAD -- .
  cmake -S "$work/clone" -B "$work/build" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF >/dev/null
  cmake --build "$work/build" --target llama-server >/dev/null
  mv "$work/build/bin/llama-server" .deps/peers
fi
