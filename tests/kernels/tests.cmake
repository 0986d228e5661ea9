# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
qe_device_test(qe_kernels_tests qe_kernels
  kernels/activation_test.cpp
  kernels/adamw8_test.cpp
  kernels/adamw_test.cpp
  kernels/algorithm_choices_test.cpp
  kernels/arena_test.cpp
  kernels/attention_test.cpp
  kernels/background_test.cpp
  kernels/ceilings_test.cpp
  kernels/column_sums_test.cpp
  kernels/contract_test.cpp
  kernels/convolution_test.cpp
  kernels/dora_test.cpp
  kernels/dropout_test.cpp
  kernels/dtype_test.cpp
  kernels/embedding_test.cpp
  kernels/gemm_test.cpp
  kernels/layernorm_test.cpp
  kernels/lora_test.cpp
  kernels/matmul4_test.cpp
  kernels/mlm_loss_test.cpp
  kernels/noise_test.cpp
  kernels/parallel_test.cpp
  kernels/philox_test.cpp
  kernels/pooling_test.cpp
  kernels/quant4_test.cpp
  kernels/random_test.cpp
  kernels/reduce_test.cpp
  kernels/rope_test.cpp
  kernels/simd_test.cpp
  kernels/topk_test.cpp)

foreach(isa IN LISTS QE_ISAS)
  add_library(qe_simd_probe_${isa} OBJECT kernels/simd_probe.cpp)
  target_link_libraries(qe_simd_probe_${isa} PRIVATE qe_options)
  target_compile_options(qe_simd_probe_${isa} PRIVATE ${QE_ISA_FLAGS_${isa}})
  target_compile_definitions(qe_simd_probe_${isa} PRIVATE QE_ISA=${isa} QE_ISA_IS_${isa})
  target_sources(qe_kernels_tests PRIVATE $<TARGET_OBJECTS:qe_simd_probe_${isa}>)

  # No inline function of one instruction set may reach the others.
  add_test(NAME isa_symbols_${isa}
           COMMAND ${CMAKE_COMMAND} -DISA=${isa} -DNM=${CMAKE_NM}
                   "-DOBJECTS=$<JOIN:$<TARGET_OBJECTS:qe_kernels_${isa}>,,>"
                   -P ${CMAKE_CURRENT_SOURCE_DIR}/kernels/check_isa_symbols.cmake)
  set_tests_properties(isa_symbols_${isa} PROPERTIES LABELS cpu)
endforeach()

# QE_FORCE_ISA, as users set it.
add_test(NAME kernels_forced_scalar COMMAND qe_kernels_tests --test-case=gemm*,quant4*,isa*)
set_tests_properties(kernels_forced_scalar PROPERTIES ENVIRONMENT QE_FORCE_ISA=scalar LABELS cpu)
add_test(NAME kernels_forced_unknown COMMAND qe_kernels_tests --test-case=gemm*)
set_tests_properties(kernels_forced_unknown PROPERTIES
  ENVIRONMENT QE_FORCE_ISA=mmx LABELS cpu
  PASS_REGULAR_EXPRESSION "QE_FORCE_ISA is \"mmx\", expected scalar, avx2, avx512 or neon")
