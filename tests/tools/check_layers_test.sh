#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# scripts/check_layers.sh finds each kind of violation in a small tree, and none in a clean one.
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "unused"

mkdir -p tree/{kernels/core,kernels/ops,kernels/cpu,formats,engine/train,engine/infer,tools,tests}
head_lines='// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors'
file() { # PATH LINE ...
  local path=tree/$1
  shift
  printf '%s\n' "$head_lines" "$@" >"$path"
}
check() { "$root/scripts/check_layers.sh" tree >out 2>&1; }
violation() { # TEXT: the check fails and says TEXT
  n_cases=$((n_cases + 1))
  if check; then complain "not noticed: $1"; fi
  grep -qF "$1" out || complain "expected \"$1\", got: $(cat out)"
}

file kernels/core/error.h '#pragma once' '#include <string>' '#include <unistd.h>'
file kernels/ops/x.h '#pragma once' '#include "kernels/core/error.h"'
file kernels/cpu/x.h '#pragma once' '#include "kernels/ops/x.h"'
file kernels/ops/x.cpp '#include "kernels/cpu/x.h"'
file formats/json.cpp '#include <simdjson.h>'
file engine/infer/a.h '#pragma once'
file tests/x_test.cpp '#include <doctest/doctest.h>' '#include "engine/infer/a.h"'
expect "clean tree: $(cat out 2>/dev/null)" check

file formats/bad.cpp '#include "kernels/ops/x.h"'
violation 'formats/bad.cpp:3: formats may not include kernels/ops ("kernels/ops/x.h")'
file formats/bad.cpp '#include "json.h"'
violation '"json.h" is not a path from the repository root'
file formats/bad.cpp '#include <simdjson.h>'
violation 'simdjson is already behind formats/bad.cpp'
file formats/bad.cpp '#include <boost/any.hpp>'
violation '<boost/any.hpp> belongs to no known library'
file formats/bad.cpp '#include <doctest/doctest.h>'
violation 'doctest is for tests'
rm tree/formats/bad.cpp
file engine/train/bad.h '#pragma once' '#include "engine/infer/a.h"'
violation 'engine/train may not include engine/infer'
file engine/train/bad.h '#include "formats/none.h"'
violation '"formats/none.h" is not a path'
violation 'engine/train/bad.h: no #pragma once'
rm tree/engine/train/bad.h
file kernels/ops/bad.h '#pragma once' '#include "kernels/cpu/x.h"'
violation 'kernels/ops may not include kernels/cpu'
rm tree/kernels/ops/bad.h
mkdir tree/kernels/other
file kernels/other/bad.cpp
violation 'is in no layer'
rm tree/kernels/other/bad.cpp
echo '#pragma once' >tree/tools/bad.h
violation 'tools/bad.h: no two-line SPDX head'
finish
