#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Holds the sources to the layers: what a folder may include, each third-party library behind one
# file, includes written from the repository root, and the two-line licence head. Prints one line
# per violation and fails if there is any. With a folder as argument it checks that tree instead.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

sources=$(find kernels formats engine tools tests -type f \
  \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) | LC_ALL=C sort)
others=$(find . -type f \( -name CMakeLists.txt -o -name '*.cmake' -o -name '*.sh' -o -name '*.py' \
  -o -name Makefile -o -path './.ci/*' \) -not -path './build*' -not -path './.git/*' \
  -not -path './demo/*' | LC_ALL=C sort)

failed=""
# shellcheck disable=SC2086  # one path per word; our paths have no blanks
awk '
  BEGIN {
    # Folder -> folders it may include besides itself. The longest matching prefix counts.
    base = "kernels/core "
    allow["kernels/core"] = ""
    allow["kernels/ops"] = base
    dispatch["kernels/ops"] = "kernels/cpu kernels/cuda"  # from its .cpp files only
    allow["kernels/cpu"] = base "kernels/ops"
    allow["kernels/cuda"] = base "kernels/ops"
    allow["formats"] = base
    allow["formats/families"] = base "formats"
    allow["formats/tokenizer"] = base "formats"
    allow["formats/dataset"] = base "formats"
    allow["engine/memory"] = base "kernels/ops"
    allow["engine/dist"] = base
    tape = base "kernels/ops engine/memory "
    allow["engine/autograd"] = tape
    model = tape "engine/autograd engine/dist formats formats/families "
    allow["engine/model"] = model
    allow["engine/convert"] = model "engine/model"
    run = model "engine/model engine/convert formats/tokenizer formats/dataset "
    allow["engine/train"] = run
    allow["engine/infer"] = run
    allow["engine/serve"] = run "engine/infer"
    allow["engine/api"] = run "engine/infer engine/serve engine/train"
    allow["tools"] = run "engine/infer engine/serve engine/train engine/api"
    allow["tests/reference"] = base
    allow["tests"] = "*"

    # Headers that are neither C++ nor ours: the library they belong to. One file may use each.
    library["simdjson.h"] = "simdjson"; library["re2/"] = "re2"; library["xxhash.h"] = "xxHash"
    library["utf8proc.h"] = "utf8proc"; library["zlib.h"] = "zlib"
    library["zstd.h"] = "zstd"; library["cblas.h"] = "OpenBLAS"; library["nccl.h"] = "NCCL"; library["cublasLt.h"] = "cuBLASLt"
    # Of the platform; any file.
    platform = "^(unistd|stddef|stdint|stdlib|malloc|fcntl|glob|dlfcn|signal|errno|langinfo|locale|poll|pthread|sched|termios|time|(bits|sys)/[a-z_]+" \
               "|immintrin|cpuid|arm_neon|cuda_[a-z0-9_]+|mma)\\.h$"
  }

  function folder_of(path,   folder) {
    for (folder = path; sub(/\/[^\/]*$/, "", folder);) if (folder in allow) return folder
    return ""
  }
  function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }

  FNR == 1 {
    from = folder_of(FILENAME)
    may = " " allow[from] " " (FILENAME ~ /\.cpp$/ ? dispatch[from] : "") " "
    if (from == "") complain("is in no layer: add its folder to scripts/check_layers.sh")
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\""); target = part[2]
    if ((getline line < target) < 0) {
      complain("\"" target "\" is not a path from the repository root"); next
    }
    close(target)
    to = folder_of(target)
    if (to != from && allow[from] != "*" && index(may, " " to " ") == 0)
      complain(from " may not include " to " (\"" target "\")")
  }
  /^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, part, /[<>]/); header = part[2]
    if (header !~ /[.\/]/ || header ~ platform) next
    if (header ~ /^doctest\//) {
      if (FILENAME !~ /^tests\//) complain("doctest is for tests")
      next
    }
    name = ""
    for (prefix in library) if (index(header, prefix) == 1) name = library[prefix]
    if (name == "") { complain("<" header "> belongs to no known library"); next }
    if (!(name in user)) user[name] = FILENAME
    else if (user[name] != FILENAME)
      complain(name " is already behind " user[name] ": include that file'\''s header instead")
  }
  END { exit bad }
' $sources || failed=1

for file in $sources; do
  case $file in
    *.h | *.cuh)
      grep -q '^#pragma once$' "$file" || { echo "$file: no #pragma once" && failed=1; }
      ;;
  esac
done

for file in $sources $others; do
  head -n 3 "$file" | grep -A1 'SPDX-License-Identifier: MIT$' |
    grep -q 'SPDX-FileCopyrightText: 2026 The qlora-engine authors$' ||
    { echo "$file: no two-line SPDX head" && failed=1; }
done

[ -z "$failed" ]
