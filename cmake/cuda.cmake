# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# Whether the CUDA backend is built (QE_WITH_CUDA), and for what. The runtime is linked statically
# and no other CUDA library is linked at all: a program with the backend starts on machines without
# a driver.

find_program(QE_NVCC nvcc PATHS /usr/local/cuda/bin)
find_program(QE_NVIDIA_SMI nvidia-smi)
set(QE_GPU_ARCHITECTURE "")
if(QE_NVIDIA_SMI)
  execute_process(COMMAND ${QE_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE gpus ERROR_QUIET RESULT_VARIABLE status)
  if(status EQUAL 0 AND gpus MATCHES "([0-9]+)[.]([0-9]+)")
    set(QE_GPU_ARCHITECTURE "${CMAKE_MATCH_1}${CMAKE_MATCH_2}")
  endif()
endif()

if(QE_CUDA STREQUAL "AUTO")
  set(QE_WITH_CUDA OFF)
  if(QE_NVCC AND QE_GPU_ARCHITECTURE)
    set(QE_WITH_CUDA ON)
  endif()
elseif(QE_CUDA)
  if(NOT QE_NVCC)
    message(FATAL_ERROR "QE_CUDA=${QE_CUDA}: there is no nvcc in PATH or /usr/local/cuda/bin. Install "
                        "the CUDA toolkit (12 or 13), or build with -DQE_CUDA=OFF.")
  endif()
  set(QE_WITH_CUDA ON)
else()
  set(QE_WITH_CUDA OFF)
endif()

if(QE_WITH_CUDA)
  set(CMAKE_CUDA_COMPILER ${QE_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES OFF)  # ours, below: CMake 3.22 does not know 90a
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc knows it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  find_package(CUDAToolkit REQUIRED)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3")

  set(architectures ${QE_CUDA_ARCHITECTURES})
  if(NOT architectures)
    set(architectures 90a)
    if(QE_GPU_ARCHITECTURE)
      set(architectures ${QE_GPU_ARCHITECTURE})
    endif()
  endif()
  if(architectures STREQUAL "90")
    set(architectures 90a)
  endif()
  # Machine code for every named architecture, and PTX for those named as N-virtual. Instructions of
  # 90a are for files of their own (QE_CUDA_90A); all others are compiled for plain 90.
  set(QE_CUDA_CODE "")
  set(QE_CUDA_90A OFF)
  foreach(architecture IN LISTS architectures)
    if(architecture STREQUAL "90a")
      set(QE_CUDA_90A ON)
      set(architecture 90)
    endif()
    if(architecture MATCHES "^([0-9]+)-virtual$")
      list(APPEND QE_CUDA_CODE
           "-gencode=arch=compute_${CMAKE_MATCH_1},code=compute_${CMAKE_MATCH_1}")
    else()
      list(APPEND QE_CUDA_CODE "-gencode=arch=compute_${architecture},code=sm_${architecture}")
    endif()
  endforeach()
  message(STATUS "CUDA backend: ${QE_NVCC}, for ${architectures}")
endif()

# qe_cuda_options(TARGET): what our .cu files are compiled with.
function(qe_cuda_options target)
  target_compile_options(${target} INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:${QE_CUDA_CODE} --expt-relaxed-constexpr -lineinfo
                               -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers>)
  if(QE_WERROR)
    target_compile_options(${target} INTERFACE
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
  endif()
endfunction()
