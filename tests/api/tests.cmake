# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

qe_device_test(qe_api_tests qe_api
  api/c_api_test.cpp
  api/request_queue_test.cpp
  api/header_c99.c)
target_include_directories(qe_api_tests PRIVATE ${PROJECT_SOURCE_DIR}/engine/api)
set_source_files_properties(api/header_c99.c PROPERTIES
  COMPILE_OPTIONS "-std=c99;-pedantic-errors;-Wall;-Wextra")
