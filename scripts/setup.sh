#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Installs what is missing to build (setup.sh build), to lint (setup.sh lint) or for the fuzz targets
# (setup.sh fuzz), from the distribution's own packages. Says what before it does, and does nothing when all is there.
# Knows Debian 12 and Ubuntu 24.04; elsewhere it names what is missing.
set -euo pipefail

purpose=${1:-build}
missing=() # package names

need_command() { # COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

# One preprocessor run answers for all headers: it leaves the packages of those that are not there.
need_headers() { # HEADER PACKAGE ...
  local source="" found
  local -a packages=()
  while [ $# -gt 0 ]; do
    source+="#if !__has_include(<$1>)"$'\n'"missing: $2"$'\n'"#endif"$'\n'
    packages+=("$2")
    shift 2
  done
  if command -v g++ >/dev/null 2>&1; then
    found=$(printf '%s' "$source" | g++ -E -P -x c++ - | sed -n 's/^missing: *//p' | tr -d ' ')
    mapfile -t packages <<<"$found"
  fi
  local package
  for package in "${packages[@]}"; do
    [ -z "$package" ] || missing+=("$package")
  done
}

case $purpose in
  build)
    need_command g++ g++
    need_command cmake cmake
    need_command ninja ninja-build
    need_headers simdjson.h libsimdjson-dev xxhash.h libxxhash-dev zlib.h zlib1g-dev \
      zstd.h libzstd-dev re2/re2.h libre2-dev doctest/doctest.h doctest-dev
    ;;
  lint)
    need_command clang-format-14 clang-format-14
    need_command shellcheck shellcheck
    ;;
  fuzz)
    need_command clang++-14 clang-14
    [ -e "$(clang++-14 -print-resource-dir 2>/dev/null)/lib/linux/libclang_rt.fuzzer-$(uname -m).a" ] ||
      missing+=(libclang-rt-14-dev)
    ;;
  *)
    echo "usage: setup.sh build|lint|fuzz" >&2
    exit 2
    ;;
esac
[ ${#missing[@]} -gt 0 ] || exit 0

give_up() {
  echo "error: missing packages: ${missing[*]} ($1; names are those of Debian and Ubuntu)" >&2
  exit 1
}

command -v apt-get >/dev/null 2>&1 || give_up "there is no apt-get here"
as_root=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || give_up "installing them needs root or sudo"
  as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
fi

echo "Installing with apt-get: ${missing[*]}" >&2
{ "${as_root[@]}" apt-get update -qq &&
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
  give_up "apt-get did not install them"
