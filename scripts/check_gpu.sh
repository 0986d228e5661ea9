#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# What only a machine with a GPU can check. FOLDER holds qe_kernels_tests, qe_engine_tests and
# qe_api_tests of a build with the CUDA backend.
#   scripts/check_gpu.sh tests FOLDER     every device test in fp32, bf16 and fp16; in bf16 also
#                                         with optimizer states in pinned memory
#   scripts/check_gpu.sh alone FOLDER     what needs the GPU for itself: memory in use is as planned
#   scripts/check_gpu.sh arch80 FOLDER    the same with the choices of compute capability 8.0 (163 KB
#                                         of shared memory a block), and of 8.6 (99 KB) in bf16
#   scripts/check_gpu.sh arch75 FOLDER    in fp32 and fp16 with the choices of 7.5
#   scripts/check_gpu.sh sanitize FOLDER [TOOL...]   each test case in bf16 under compute-sanitizer:
#                                         memcheck racecheck initcheck synccheck, or those named;
#                                         racecheck with QE_SMALL, by which the longest cases have
#                                         smaller shapes that cross the same borders
# For arch80 and arch75, build PTX of that version only, so that nothing else can run:
#   cmake -DQE_CUDA=ON "-DQE_CUDA_ARCHITECTURES=80-virtual" ...
# QE_JOBS processes share the GPU (default: one per core; references are computed on the host). Logs
# go to $LOGS (default: a new folder); QE_CASE_SECONDS ends one process (default 600). QE_CASES: the
# test cases to sanitize, as doctest filters them (default: all).
set -euo pipefail

action=${1:?tests, alone, arch80, arch75 or sanitize} folder=${2:?the folder of the test programs}
shift 2
logs=${LOGS:-$(mktemp -d)}
mkdir -p "$logs"
queue=()

# One process: NUMBER NAME ENVIRONMENT COMMAND, the last two as shell words.
run_one() {
  local log=$logs/$action.$1.log status=0 start=$SECONDS
  eval "timeout ${QE_CASE_SECONDS:-600} env $3 $4" >"$log" 2>&1 || status=$?
  printf '%s\t%s\t%s\n' "$status" "$((SECONDS - start))" "$2" >"$log.status"
}
export -f run_one
export logs action

# add NAME ENVIRONMENT COMMAND
add() { queue+=("$((${#queue[@]} / 4))" "$1" "$2" "$3"); }

# add_types ARCH TYPE...: both test programs, in each type.
add_types() {
  local arch=$1 program type
  shift
  for type in "$@"; do
    for program in qe_kernels_tests qe_engine_tests qe_api_tests; do
      add "$program $type${arch:+ as $arch}" \
        "QE_TEST_DEVICE=$type${arch:+ QE_FORCE_ARCH=$arch}" \
        "$folder/$program"
    done
  done
}

# add_sanitized TOOL: every test case on its own. Commas separate filters of doctest.
add_sanitized() {
  local program test options="" environment=QE_TEST_DEVICE=bf16
  if [[ $1 == memcheck ]]; then options="--report-api-errors no"; fi # a test asks for too much
  if [[ $1 == racecheck ]]; then environment+=" QE_SMALL=1"; fi
  for program in qe_kernels_tests qe_engine_tests qe_api_tests; do
    while read -r test; do
      add "$1, $program: $test" "$environment" \
        "compute-sanitizer --tool $1 $options --error-exitcode 9 --print-limit 5 $folder/$program $(
          printf '%q' "--test-case=${test//,/\?}"
        )"
    done < <("$folder/$program" --test-suite=device "--test-case=${QE_CASES:-*}" --list-test-cases |
      grep -v -e '^\[doctest\]' -e '^===')
  done
}

case $action in
  tests)
    add_types "" f32 bf16 f16
    add "qe_engine_tests bf16, pinned states" "QE_TEST_DEVICE=bf16 QE_PAGED=pinned" \
      "$folder/qe_engine_tests '--test-case=paged*,optimizer*,trainer*'"
    ;;
  alone) add "memory in use" QE_TEST_DEVICE=bf16 "$folder/qe_engine_tests '--test-case=*planned total*'" ;;
  arch80)
    add_types 80 f32 bf16 f16
    add_types 86 bf16
    ;;
  arch75) add_types 75 f32 f16 ;;
  sanitize)
    if [[ $# == 0 ]]; then set -- memcheck racecheck initcheck synccheck; fi
    for tool in "$@"; do add_sanitized "$tool"; done
    ;;
  *)
    echo "unknown action $action" >&2
    exit 2
    ;;
esac

if [[ $action != alone ]]; then export QE_SHARED_GPU=1; fi # memory in use cannot be checked
printf '%s\0' "${queue[@]}" |
  xargs -0 -n 4 -P "${QE_JOBS:-$(nproc)}" bash -c 'run_one "$@"' run_one
n=$((${#queue[@]} / 4)) failed=0
for ((i = 0; i < n; ++i)); do
  log=$logs/$action.$i.log
  IFS=$'\t' read -r status seconds name <"$log.status"
  if [[ $status == 0 ]]; then continue; fi
  failed=$((failed + 1))
  echo "FAILED, status $status after $seconds s: $name ($log)"
  tail -n 25 "$log"
done
echo "$action: $((n - failed)) of $n passed; the longest:"
cat "$logs/$action".*.log.status | sort -t $'\t' -k2,2nr | head -n 5
exit $((failed > 0))
