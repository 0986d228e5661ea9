# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# shellcheck shell=bash
#
# Sourced by the tests that run the program as a user would: EXPECT-style helpers that say which
# case failed and go on. Usage in a test: `. expect.sh PROGRAM`, cases, `finish`.

set -uo pipefail
engine=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
# Not by a child that a signal ends before it is another program.
trap '[ "$BASHPID" != "$$" ] || rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
n_cases=0
n_failures=0

complain() { # TEXT ...
  n_failures=$((n_failures + 1))
  printf 'FAILED: %s\n' "$*"
}

# Runs a command; leaves its status in $status and its output in the files stdout and stderr.
run() {
  "$@" >stdout 2>stderr </dev/null
  status=$?
}

# The command fails with STATUS, nothing on stdout, and a last line "error: ..." on stderr that
# holds the text PART; stderr has no other line but notes, warnings and progress.
expect_error() { # STATUS PART COMMAND ...
  local wanted=$1 part=$2
  shift 2
  n_cases=$((n_cases + 1))
  run "$@"
  local last
  last=$(tail -n 1 stderr)
  [ "$status" -eq "$wanted" ] || complain "$*: exit status $status, not $wanted: $last"
  [ "$(grep -c '^error: ' stderr)" -eq 1 ] || complain "$*: not one error line: $(head -c 400 stderr)"
  [ ! -s stdout ] || complain "$*: wrote to stdout: $(head -c 200 stdout)"
  case $last in
    "error: "*"$part"*) ;;
    *) complain "$*: expected \"$part\" in: $last" ;;
  esac
}

# The command succeeds and PART is in FILE (stdout or stderr).
expect_ok() { # FILE PART COMMAND ...
  local file=$1 part=$2
  shift 2
  n_cases=$((n_cases + 1))
  run "$@"
  [ "$status" -eq 0 ] || complain "$*: exit status $status: $(tail -n 3 stderr)"
  grep -qF -- "$part" "$file" || complain "$*: no \"$part\" in $file: $(head -c 600 "$file")"
}

expect() { # WHAT CONDITION ...: the command CONDITION succeeds
  local what=$1
  shift
  n_cases=$((n_cases + 1))
  "$@" || complain "$what"
}

# A copy of the example model in folder NAME whose files can be replaced one by one.
model_copy() { # NAME
  mkdir -p "$1"
  ln -sf "$root"/examples/tiny-mlm/*.json "$root"/examples/tiny-mlm/vocab.txt \
    "$root"/examples/tiny-mlm/model.safetensors "$1"/
}

# Replaces FILE of a model copy by what the filter COMMAND makes of it.
rewrite() { # FILE COMMAND ...
  local file=$1
  shift
  "$@" <"$file" >"$file.new" && rm "$file" && mv "$file.new" "$file"
}

finish() {
  printf '%s cases, %s failures\n' "$n_cases" "$n_failures"
  [ "$n_failures" -eq 0 ]
  exit
}
