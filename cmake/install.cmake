# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

# cmake --install: the program with its manual and completions, the library with headers,
# pkg-config file and CMake package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS qlora-engine RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS qlora_engine EXPORT qlora_engine LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS qlora_engine_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES engine/api/qlora_engine.h engine/api/qlora_engine.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
target_include_directories(qlora_engine INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(EXPORT qlora_engine NAMESPACE qlora_engine:: FILE qlora_engineConfig.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qlora_engine)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qlora_engineConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qlora_engineConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qlora_engine)
file(RELATIVE_PATH QE_PC_INCLUDEDIR /${CMAKE_INSTALL_LIBDIR}/pkgconfig /${CMAKE_INSTALL_INCLUDEDIR})
set(QE_PC_CUDA "")
if(QE_WITH_CUDA)
  set(QE_PC_CUDA " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt")
endif()
configure_file(cmake/qlora_engine.pc.in ${PROJECT_BINARY_DIR}/qlora_engine.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qlora_engine.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(NOT CMAKE_CROSSCOMPILING)  # tools/CMakeLists.txt
  set(written ${PROJECT_BINARY_DIR}/share)
  install(FILES ${written}/qlora-engine.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${written}/qlora-engine
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${written}/_qlora-engine DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${written}/qlora-engine.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

set(CPACK_PACKAGE_NAME qlora-engine)
set(CPACK_PACKAGE_CONTACT "The qlora-engine authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Fine-tune and serve masked language models with QLoRA")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
include(CPack)
