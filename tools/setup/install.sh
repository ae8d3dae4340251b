#!/bin/sh
# Installs what the named groups of dependencies.txt need: Debian packages, and newer libraries under .deps.
# usage: install.sh build|test|lint|fuzz...   Does nothing, at once, when all is there.
set -eu
cd "$(dirname "$0")/../.."
list=tools/setup/dependencies.txt

fail() {
  echo "error: $*" >&2
  exit 1
}

can_be_root() {
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# Is the Debian version $1 (maybe empty or "(none)") at least $2? An epoch says nothing about the upstream version.
new_enough() {
  case $1 in
    "" | "(none)") return 1 ;;
  esac
  [ "$2" = - ] || dpkg --compare-versions "${1#*:}" ge "$2"
}

# The words "group name minimum package newer release..." of the groups that are asked for and not there yet.
missing() {
  grep -v '^#' "$list" | while read -r group name minimum package rest; do
    case " $groups " in
      *" $group "*) ;;
      *) continue ;;
    esac
    if [ "$minimum" = - ]; then
      command -v "$name" >/dev/null && continue
    elif [ -d ".deps/$name" ] && [ "$(cat ".deps/$name.minimum" 2>/dev/null)" = "$minimum" ]; then
      continue
    elif [ "$package" != - ] && command -v dpkg-query >/dev/null; then
      # shellcheck disable=SC2016  # the ${} are dpkg's
      installed=$(dpkg-query --show --showformat='${db:Status-Status}/${Version}' "$package" 2>/dev/null) || installed=
      case $installed in
        installed/*) new_enough "${installed#installed/}" "$minimum" && continue ;;
      esac
    fi
    echo "$group $name $minimum $package $rest"
  done
}

groups=$*
[ -n "$groups" ] || fail "usage: $0 build|test|lint|fuzz..."
todo=$(missing)
[ -n "$todo" ] || exit 0

if command -v apt-get >/dev/null && can_be_root; then
  echo "updating the lists of packages"
  as_root apt-get -qq update || echo "not all lists could be updated; going on with what there is"
fi

packages=
libraries=
while read -r _ name minimum package newer release _; do
  candidate=
  if [ "$package" != - ] && command -v apt-cache >/dev/null; then
    candidate=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
  fi
  if new_enough "$candidate" "$minimum"; then
    packages="$packages $package"
  elif [ "$newer$release" != -- ]; then
    libraries="$libraries $name"
  elif command -v apt-get >/dev/null; then
    fail "$package $minimum or newer is needed; this system offers: ${candidate:-none}"
  else
    echo "please see that $name is installed (no apt-get here; Debian has it in $package)"
  fi
done <<END
$todo
END

if [ -n "$packages" ]; then
  can_be_root || fail "needs root or sudo to install:$packages"
  echo "installing:$packages"
  # shellcheck disable=SC2086  # a list of words
  as_root apt-get -qq install --no-install-recommends --yes $packages >/dev/null
fi
for name in $libraries; do
  tools/setup/fetch-library.sh "$name"
done
