# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# No object file that is compiled for one instruction set may offer the linker an inline function
# that others have too (kernels/cpu/simd.h says why). Weak functions are fine inside the instruction
# set's own namespace only; weak data (constants) has no instructions.
#   cmake -DISA=avx2 -DNM=nm -DOBJECTS=a.o,b.o -P check_isa_symbols.cmake
string(REPLACE "," ";" objects "${OBJECTS}")
if(NOT objects)
  message(FATAL_ERROR "no object files given")
endif()
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} --defined-only ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "nm failed on ${object}")
  endif()
  string(REGEX MATCHALL "[^\n]* W [^\n]*" weak "${symbols}")
  string(LENGTH "${ISA}" length)
  foreach(symbol IN LISTS weak)
    if(symbol MATCHES "DW\\.ref|__asan|__ubsan|__odr_asan")
      continue()
    endif()
    # Mangled: _ZN2qe3cpu4avx2...
    if(NOT symbol MATCHES "2qe3cpu${length}${ISA}")
      list(APPEND leaks "${object}: ${symbol}")
    endif()
  endforeach()
endforeach()
if(leaks)
  list(JOIN leaks "\n  " text)
  message(FATAL_ERROR "symbols shared between instruction sets:\n  ${text}")
endif()
