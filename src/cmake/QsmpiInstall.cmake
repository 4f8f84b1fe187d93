# Install: the program, the libraries and headers, and a package that find_package(qsmpi) finds.
include(CMakePackageConfigHelpers)
install(TARGETS qsmpi_flags EXPORT qsmpiTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qsmpi DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/slurm ${PROJECT_SOURCE_DIR}/pbs DESTINATION ${CMAKE_INSTALL_DATADIR}/qsmpi)
install(EXPORT qsmpiTargets NAMESPACE qsmpi:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qsmpi)
configure_package_config_file(${PROJECT_SOURCE_DIR}/src/cmake/qsmpiConfig.cmake.in
    ${PROJECT_BINARY_DIR}/qsmpiConfig.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qsmpi)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qsmpiConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qsmpiConfig.cmake ${PROJECT_BINARY_DIR}/qsmpiConfigVersion.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/qsmpi)
