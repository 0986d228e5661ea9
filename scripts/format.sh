#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Formats all C++ sources (format.sh) or checks them (format.sh --check). Majors of clang-format
# disagree in details, so this project goes by one, which both Debian 12 and Ubuntu 24.04 have.
set -euo pipefail
cd "$(dirname "$0")/.."

major=14
tool=""
for candidate in "clang-format-$major" clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q "version $major\."; then
    tool=$candidate
    break
  fi
done
if [ -z "$tool" ]; then
  echo "format: skipped, clang-format $major is not installed" >&2
  exit 0
fi

mode=(-i)
[ "${1:-}" != --check ] || mode=(--dry-run -Werror)
find kernels formats engine tools tests \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \
  -o -name '*.cuh' -o -name '*.hpp' -o -name '*.c' \) -print0 | xargs -0 -r "$tool" "${mode[@]}"
