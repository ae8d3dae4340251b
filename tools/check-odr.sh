#!/bin/sh
# Refuses what breaks the one-definition rule without a word from compiler or linker: types, functions and inline variables of
# namespace quern that two files define under one name, outside anonymous namespaces. (The linker's -Wodr would need a build of
# its own with -flto, over twenty minutes of CPU, and sees only what one executable links.)
# usage: check-odr.sh [ROOT]   Prints the places of each name, and fails.
set -eu
cd "${1:-$(dirname "$0")/..}"

# shellcheck disable=SC2016  # awk's
find gguf kernels runtime server tools bench tests \( -name '*.h' -o -name '*.cc' \) 2>/dev/null | sort |
  xargs awk '
  # The file as text without comments, literals and preprocessor lines. `literal` and `continued` outlast a line.
  function clean(line,    out, at, rest) {
    out = ""
    while (line != "") {
      if (literal != "") {
        at = index(line, literal)
        if (!at) return out
        line = substr(line, at + length(literal)); literal = ""
        continue
      }
      if (!match(line, /"|\047|\/\/|\/\*/)) return out line
      at = RSTART; rest = substr(line, at)
      out = out substr(line, 1, at - 1)
      if (rest ~ /^\/\//) return out
      if (rest ~ /^\/\*/) { literal = "*/"; line = substr(rest, 3); continue }
      if (rest ~ /^"/ && out ~ /R$/) {
        literal = substr(rest, 2); sub(/\(.*/, "", literal); literal = ")" literal "\""
        line = substr(rest, 2); sub(/^[^(]*\(/, "", line)
        out = out "0"
        continue
      }
      if (rest ~ /^\047/ && out ~ /[0-9a-fA-F]$/) { line = substr(rest, 2); continue }  # 1000, with separator
      if (match(rest, /^("([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047)/)) { out = out "0"; line = substr(rest, RLENGTH + 1) }
      else line = substr(rest, 2)
    }
    return out
  }
  function is_test(file) { return file ~ /^tests\/.*_test\.cc$/ }
  # Notes a definition. Each test is an executable of its own; one of HWY_NAMESPACE is compiled once for each target.
  function define(name,    full) {
    full = where name
    if (full ~ /(^|::)(\(anonymous\)|HWY_NAMESPACE)::/ || full !~ /^quern::/) return
    if (is_test(FILENAME) && name ~ /^(TEST|TEST_F|TEST_P|TYPED_TEST|INSTANTIATE_[A-Z_]*|TYPED_[A-Z_]*)\(/) return
    if ((full, FILENAME) in seen) return
    seen[full, FILENAME] = 1
    if (is_test(FILENAME)) { in_tests[full] = in_tests[full] "\n  " FILENAME ":" FNR }
    else { n_files[full]++; places[full] = places[full] "\n  " FILENAME ":" FNR }
  }
  # A list of parameters without names and defaults, near enough to tell overloads apart.
  function types_of(list,    n, i, c, depth, one, out, default_) {
    out = ""; one = ""; depth = 0; default_ = 0
    n = length(list)
    for (i = 1; i <= n + 1; ++i) {
      c = i <= n ? substr(list, i, 1) : ","
      if (c ~ /[(<{]/) ++depth
      if (c ~ /[)>}]/) --depth
      if (c == "=" && depth == 0) default_ = 1
      if (c == "," && depth <= 0) {
        sub(/^ +/, "", one); sub(/ +$/, "", one)
        if (one ~ /[^A-Za-z0-9_:][A-Za-z_][A-Za-z0-9_]*$/ && one !~ /^(const|unsigned|struct) [A-Za-z0-9_:]+$/)
          sub(/[A-Za-z_][A-Za-z0-9_]*$/, "", one)
        gsub(/ /, "", one)
        out = out (out == "" ? "" : ",") one; one = ""; default_ = 0
      } else if (!default_) one = one c
    }
    return out
  }
  # What a statement defines whose body begins, or that ends in a semicolon.
  function look(text, has_body,    name, list, depth, n_round, i, c) {
    gsub(/[ \t]+/, " ", text); sub(/^ /, "", text); sub(/ $/, "", text)
    gsub(/\[\[[^]]*\]\] ?/, "", text); gsub(/alignas\([^)]*\) ?/, "", text)
    # Of a template the arguments, whatever their depth.
    while (text ~ /^template ?</) {
      depth = n_round = 0
      for (i = index(text, "<"); i <= length(text); ++i) {
        c = substr(text, i, 1)
        if (c == "(") ++n_round
        if (c == ")") --n_round
        if (n_round > 0) continue
        if (c == "<") ++depth
        if (c == ">" && --depth == 0) break
      }
      text = substr(text, i + 1); sub(/^ /, "", text)
    }
    if (has_body && text ~ /^(typedef )?(class|struct|union|enum( class| struct)?) [A-Za-z_]/ && text !~ /\(/) {
      sub(/^(typedef )?(class|struct|union|enum( class| struct)?) /, "", text)
      sub(/ : .*/, "", text); sub(/ final$/, "", text)
      if (text !~ / /) { define(text); return }
    }
    if (text ~ /^static / || text ~ /^(using|typedef|friend|extern|namespace) /) return
    if (text ~ /^(constexpr )?inline (constexpr )?[^(]*(=|$)/) {
      sub(/ ?=.*/, "", text); sub(/\[.*/, "", text); sub(/.* [*&]?/, "", text); define(text); return
    }
    if (!has_body || text !~ /\(/ || text ~ /^[^(]*=/ && text !~ /operator/ || text ~ /^[,:]/) return
    name = text; sub(/ ?\(.*/, "", name)
    if (text ~ /operator ?\(\)/) name = name "()"
    sub(/.*[ *&]/, "", name)
    if (name ~ /::/ || name == "") return
    list = substr(text, index(text, "(") + 1)
    for (i = depth = 1; i <= length(list); ++i) {
      c = substr(list, i, 1)
      if (c == "(") ++depth
      if (c == ")" && --depth == 0) break
    }
    define(name "(" types_of(substr(list, 1, i - 1)) ")")
  }
  function begin_file() { depth_of = 0; n_open = 0; parens = 0; statement = ""; where = ""; literal = ""; continued = 0 }
  FNR == 1 { begin_file() }
  {
    line = $0
    if (literal == "" && (continued || line ~ /^[ \t]*#/)) { continued = line ~ /\\$/; next }
    line = clean(line)
    # Namespaces that are open: names[1..n_open]; braces of anything else: depth_of.
    while (match(line, /[{}();]/)) {
      c = substr(line, RSTART, 1); before = substr(line, 1, RSTART - 1); line = substr(line, RSTART + 1)
      if (depth_of > 0) {
        if (c == "{") ++depth_of
        if (c == "}" && --depth_of == 0) statement = ""
        continue
      }
      statement = statement before
      if (c == "(") { ++parens; statement = statement c; continue }
      if (c == ")") { --parens; statement = statement c; continue }
      if (parens > 0) { statement = statement c; continue }
      if (c == "{") {
        text = statement; gsub(/[ \t]+/, " ", text); sub(/^ /, "", text); sub(/ $/, "", text)
        statement = ""
        if (text ~ /^(inline )?namespace( |$)/) {
          sub(/^(inline )?namespace ?/, "", text)
          names[++n_open] = (text == "" ? "(anonymous)" : text) "::"
        } else if (text ~ /^extern 0$/) names[++n_open] = ""
        else { if (text != "") look(text, 1); depth_of = 1 }
      } else if (c == "}") { if (n_open > 0) --n_open; statement = "" }
      else { look(statement, 0); statement = "" }
      where = ""; for (i = 1; i <= n_open; ++i) where = where names[i]
    }
    if (depth_of == 0) statement = statement line " "
  }
  END {
    for (full in places) {
      if (n_files[full] > 1 || full in in_tests) {
        print full " is defined in more than one file:" places[full] in_tests[full]
        print "^ rename one after what it is, or put what one file alone uses into an anonymous namespace"
        bad = 1
      }
    }
    exit bad
  }'
