# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# qe_program_test(STEM [PROGRAM]): a script that runs the program, or a script, as a user would.
function(qe_program_test stem)
  add_test(NAME ${stem} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/tools/${stem}.sh ${ARGN})
  set_tests_properties(${stem} PROPERTIES LABELS cpu)
endfunction()

qe_program_test(ask_model_test $<TARGET_FILE:qlora-engine>)
qe_program_test(bad_input_test $<TARGET_FILE:qlora-engine>)
qe_program_test(check_layers_test)
qe_program_test(convert_test $<TARGET_FILE:qlora-engine>)
qe_program_test(families_test $<TARGET_FILE:qlora-engine>)
qe_program_test(install_test $<TARGET_FILE:qlora-engine> ${PROJECT_BINARY_DIR})
qe_program_test(kill_test $<TARGET_FILE:qlora-engine>)
qe_program_test(program_test $<TARGET_FILE:qlora-engine>)
qe_program_test(signal_test $<TARGET_FILE:qlora-engine>)

qe_test(qe_tools_tests qe_engine
  tools/args_test.cpp
  tools/diagnosis_test.cpp
  tools/machine_test.cpp
  tools/starting_config_test.cpp
  tools/table_test.cpp
  ${PROJECT_SOURCE_DIR}/tools/args.cpp
  ${PROJECT_SOURCE_DIR}/tools/diagnosis.cpp
  ${PROJECT_SOURCE_DIR}/tools/machine.cpp
  ${PROJECT_SOURCE_DIR}/tools/starting_config.cpp
  ${PROJECT_SOURCE_DIR}/tools/table.cpp)
