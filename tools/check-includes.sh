#!/bin/sh
# Refuses includes that go upward, between folders and within them, and libraries outside the files that wrap them.
# usage: check-includes.sh [ROOT]   Prints each bad include as FILE:LINE: TEXT, and why it is refused.
set -eu
cd "${1:-$(dirname "$0")/..}"

# The order of the folders: each includes itself and those of the lines above, not its neighbours on the line.
order='
gguf/base
gguf
kernels
runtime/machine
runtime/text
runtime/model
runtime/model/families runtime/forward
runtime/engine
server/http
server/api
server/telemetry
server/access
server/inference
server
tools/terminal tools/toml tools/demo_model tools/hub
tools/options
tools/cli
tools/commands tools/measure tools/quality tools/quantize tools/serve
tools/service
'

find gguf kernels runtime server tools bench tests -name '*.h' -o -name '*.cc' -o -name '*.inc' | sort |
  xargs grep -nE '^ *# *include *["<]' /dev/null |
  awk -v order="$order" '
  # Without the extension a source and its header are one.
  function stem(path) { sub(/(-inl)?\.[a-z]+$/, "", path); return path }
  function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
  function refuse(why) { print $0; print "^ " why; bad = 1 }
  # Whether `from` comes to itself again; `path` tells how.
  function search(node, path,    i, n, next_nodes) {
    if (state[node] == "done") return
    if (state[node] == "open") { print path; print "^ includes in a circle"; bad = 1; return }
    state[node] = "open"
    n = split(edges[node], next_nodes, " ")
    for (i = 1; i <= n; ++i) search(next_nodes[i], path " -> " next_nodes[i])
    state[node] = "done"
  }
  BEGIN {
    n_lines = split(order, lines, "\n")
    for (i = 1; i <= n_lines; ++i) {
      n = split(lines[i], names, " ")
      for (j = 1; j <= n; ++j) rank[names[j]] = i
    }
  }
  {
    file = $0; sub(/:.*/, "", file)
    text = $0; sub(/^[^:]*:[^:]*:/, "", text)
    header = text; sub(/^[^"<]*["<]/, "", header); sub(/[">].*/, "", header)
    from = folder(file); to = folder(header)
    top = from; sub(/\/.*/, "", top)

    if (header ~ /^\.\.?\//) refuse("a path starts at the root: \"folder/file.h\"")
    if (header ~ /^(tbb|oneapi)\// && file != "runtime/machine/worker_pool.cc")
      refuse("only runtime/machine/worker_pool.cc uses oneTBB")
    if (header == "httplib.h" && from != "server/http" && top != "tests")
      refuse("only server/http uses the HTTP library: others see server/http/http_message.h")
    if (header !~ /^(gguf|kernels|runtime|server|tools|bench|tests)\//) next
    if (header ~ /^(bench|tests)\// && top != "tests" && from != to) refuse("nobody includes " to)
    if (top == "tests") next
    if (header ~ /^kernels\/quant\//) to = "kernels"
    if (from == "kernels/quant") from = "kernels"

    if (top == "bench") {
      if (header ~ /^(server|tools)\//) refuse("bench includes only bench, runtime and what is below")
    } else if (!(from in rank)) {
      refuse(from " has no place in the order of folders, which is in tools/check-includes.sh")
    } else if (from != to && rank[to] >= rank[from]) {
      refuse(from " includes only itself and what is below")
    }
    # A source may include what needs its own header.
    if (file !~ /\.cc$/ && stem(file) != stem(header)) edges[stem(file)] = edges[stem(file)] " " stem(header)
  }
  END {
    for (node in edges) search(node, node)
    exit bad
  }'
