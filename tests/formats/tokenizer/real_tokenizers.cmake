# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# Unpacks the archive of real tokenizers that QE_TOKENIZERS names, else ARCHIVE, into FOLDER and
# runs PROGRAM over it. Skipped, saying so, where there is no archive.
if(DEFINED ENV{QE_TOKENIZERS})
  set(ARCHIVE $ENV{QE_TOKENIZERS})
endif()
if(NOT EXISTS ${ARCHIVE})
  message("skipped: no archive of real tokenizers (QE_TOKENIZERS, or ${ARCHIVE})")
  return()
endif()
file(REMOVE_RECURSE ${FOLDER})
file(ARCHIVE_EXTRACT INPUT ${ARCHIVE} DESTINATION ${FOLDER})
set(ENV{QE_TOKENIZERS_FOLDER} ${FOLDER}/tokenizers)
execute_process(COMMAND ${PROGRAM} COMMAND_ERROR_IS_FATAL ANY)
