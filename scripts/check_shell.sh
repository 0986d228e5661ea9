#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Runs shellcheck over all shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v shellcheck >/dev/null 2>&1; then
  echo "shell: skipped, shellcheck is not installed" >&2
  exit 0
fi
find .ci scripts tests -type f -print0 | xargs -0 grep -lE '^#!.*\b(ba)?sh$' |
  xargs -r shellcheck -S warning -x -P SCRIPTDIR
