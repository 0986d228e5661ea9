#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# An installed copy: what is there, what the library exports, and the examples built against it as
# users build them, with pkg-config (or its flags by hand) and with find_package.
# Usage: install_test.sh PROGRAM BUILD_FOLDER
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

build=$2
model=$root/examples/tiny-mlm
text="The capital of France is [MASK]."
# An instrumented library needs an instrumented program.
if nm -D "$build/engine/libqlora_engine.so" | grep -q __asan_init; then
  echo "skipped: the library is built with AddressSanitizer"
  exit 0
fi

expect "install" cmake --install "$build" --prefix "$scratch/prefix"
prefix=$scratch/prefix
lib=$(dirname "$(find "$prefix" -name libqlora_engine.so)")
for file in bin/qlora-engine include/qlora_engine.h include/qlora_engine.hpp \
  share/man/man1/qlora-engine.1 share/bash-completion/completions/qlora-engine \
  share/zsh/site-functions/_qlora-engine share/fish/vendor_completions.d/qlora-engine.fish; do
  expect "$file" test -s "$prefix/$file"
done
expect "only qe_* is exported" \
  [ -z "$(nm -D --defined-only "$lib/libqlora_engine.so" | awk '{print $3}' | grep -v '^qe_')" ]
expect "and all of the header's functions are" cmp \
  <(nm -D --defined-only "$lib/libqlora_engine.so" | awk '{print $3}' | sort) \
  <(sed -n 's/^QE_EXPORT .*[ *]\(qe_[a-z_]*\)(.*/\1/p' "$prefix/include/qlora_engine.h" | sort)
soname=$(readelf -d "$lib/libqlora_engine.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
expect "SONAME has the ABI's number" [ "$soname" = "libqlora_engine.so.$(
  sed -n 's/#define QE_ABI_VERSION //p' "$prefix/include/qlora_engine.h")" ]

# ---- C, with the flags of the pkg-config file
pc=$lib/pkgconfig/qlora_engine.pc
if command -v pkg-config >/dev/null; then
  flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs qlora_engine)
else
  flags="-I$prefix/include -L$lib $(sed -n 's/^Libs: .* \(-l.*\)/\1/p' "$pc")"
fi
# shellcheck disable=SC2086  # flags
expect "the C example builds" \
  cc -std=c99 -Wall -Wextra -Werror "$root/examples/embed_c/main.c" $flags -o embed_c
old_path=${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH=$lib:$old_path
run ./embed_c "$model" "$text"
cp stdout of_library
run "$engine" fill-mask --model "$model" --device cpu --json "$text"
expect "the C example's first answer is the program's" \
  [ "$(sed -n 's/^[0-9]* [0-9.]* //;1p' of_library)" = \
  "$(sed 's/.*"token_str": *"\([^"]*\)".*/\1/;q' <(tr '{' '\n' <stdout | grep token_str))" ]
expect "and it has five, and a score" [ "$(grep -c . of_library)" -eq 6 ]
expect "a model that is not there" bash -c '! ./embed_c /nowhere x 2>message && grep -q /nowhere message'

# ---- C++, with find_package
expect "the C++ example configures" cmake -S "$root/examples/embed_cpp" -B cpp \
  -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
expect "and builds" cmake --build cpp
run cpp/embed_cpp "$model" "the king" "the king" "a horse"
expect "a text is like itself" grep -q '^1.0000 the king$' stdout
expect "and less like another" grep -Eq '^0\.[0-9]+ a horse$' stdout

# ---- the static library alone
static_flags="$(sed -n 's/^Libs.private: //p' "$pc")"
# shellcheck disable=SC2086  # flags
expect "the C example with the static library" cc -std=c99 "$root/examples/embed_c/main.c" \
  -I"$prefix/include" "$lib/libqlora_engine.a" $static_flags -o embed_static
export LD_LIBRARY_PATH=$old_path  # nothing of ours
run ./embed_static "$model" "$text"
expect "answers the same" cmp stdout of_library

# ---- what shells are given
expect "bash takes the completions" bash -n "$prefix/share/bash-completion/completions/qlora-engine"
expect "completes a command" bash -c "
  source '$prefix/share/bash-completion/completions/qlora-engine'
  COMP_WORDS=(qlora-engine fill) COMP_CWORD=1
  _qlora_engine; [ \"\${COMPREPLY[*]}\" = fill-mask ]"
expect "completes an option's value" bash -c "
  source '$prefix/share/bash-completion/completions/qlora-engine'
  COMP_WORDS=(qlora-engine fill-mask --quant_type n) COMP_CWORD=3
  _qlora_engine; [ \"\${COMPREPLY[*]}\" = nf4 ]"
expect "the manual has every command" [ "$(grep -c '^\.SS ' "$prefix/share/man/man1/qlora-engine.1")" \
  -eq "$("$engine" --help | sed -n '/^Commands:/,/^$/p' | grep -c '^  [a-z]')" ]
finish
