# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# Benchmarks: not built by default, not run as tests. OpenBLAS, where it is found, is only the
# opponent.
foreach(isa IN LISTS QE_ISAS)
  add_library(qe_fma_peak_${isa} OBJECT EXCLUDE_FROM_ALL bench/fma_peak.cpp)
  target_link_libraries(qe_fma_peak_${isa} PRIVATE qe_options)
  target_compile_options(qe_fma_peak_${isa} PRIVATE ${QE_ISA_FLAGS_${isa}})
  target_compile_definitions(qe_fma_peak_${isa} PRIVATE QE_ISA=${isa} QE_ISA_IS_${isa})
  list(APPEND QE_FMA_PEAK $<TARGET_OBJECTS:qe_fma_peak_${isa}>)
endforeach()

add_executable(qe_gemm_bench EXCLUDE_FROM_ALL bench/gemm_bench.cpp ${QE_FMA_PEAK})
target_link_libraries(qe_gemm_bench PRIVATE qe_kernels)
find_library(QE_OPENBLAS openblas)
find_path(QE_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas)
if(QE_OPENBLAS AND QE_CBLAS_INCLUDE)
  target_compile_definitions(qe_gemm_bench PRIVATE QE_BENCH_OPENBLAS)
  target_include_directories(qe_gemm_bench PRIVATE ${QE_CBLAS_INCLUDE})
  target_link_libraries(qe_gemm_bench PRIVATE ${QE_OPENBLAS})
endif()
