# Interface targets and the functions that declare modules, tests and benchmarks.
include(GNUInstallDirs)

add_library(qsmpi_warnings INTERFACE)
target_compile_options(qsmpi_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    $<$<BOOL:${QSMPI_WARNINGS_ARE_ERRORS}>:-Werror>)

add_library(qsmpi_flags INTERFACE)
target_compile_features(qsmpi_flags INTERFACE cxx_std_20)
target_link_libraries(qsmpi_flags INTERFACE OpenMP::OpenMP_CXX Threads::Threads)
if(QSMPI_ARCH)
    target_compile_options(qsmpi_flags INTERFACE -march=${QSMPI_ARCH})
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(qsmpi_flags INTERFACE -march=x86-64-v3)
endif()
# Vectorise loops over floats; nothing here licenses the compiler to reorder sums or to forget NaN.
target_compile_options(qsmpi_flags INTERFACE -fno-math-errno -fno-trapping-math)
if(QSMPI_SANITIZE)
    target_compile_options(qsmpi_flags INTERFACE -fsanitize=${QSMPI_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(qsmpi_flags INTERFACE -fsanitize=${QSMPI_SANITIZE})
endif()
if(QSMPI_DEBUG_ASSERT)
    target_compile_definitions(qsmpi_flags INTERFACE QSMPI_ENABLE_DEBUG_ASSERT)
endif()

# qsmpi_module(<name> [SOURCES a.cpp...] [PUBLIC targets...] [PRIVATE targets...])
# Declares the library qsmpi_<name> (alias qsmpi::<name>) of src/<name> with headers in include/qsmpi/<name>.
function(qsmpi_module name)
    cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(qsmpi_${name} STATIC ${arg_SOURCES})
    add_library(qsmpi::${name} ALIAS qsmpi_${name})
    set_target_properties(qsmpi_${name} PROPERTIES EXPORT_NAME ${name})
    target_include_directories(qsmpi_${name}
        PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
        PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(qsmpi_${name}
        PUBLIC qsmpi_flags ${arg_PUBLIC}
        PRIVATE $<BUILD_INTERFACE:qsmpi_warnings> ${arg_PRIVATE})
    install(TARGETS qsmpi_${name} EXPORT qsmpiTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# qsmpi_unit_test(<name> SOURCES a_test.cpp... LIBS targets... [LABEL unit] [TIMEOUT s])
# One GoogleTest executable; each TEST becomes a ctest of its own.
function(qsmpi_unit_test name)
    cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    add_executable(test_${name} ${arg_SOURCES})
    target_link_libraries(test_${name} PRIVATE ${arg_LIBS} qsmpi_test_support qsmpi_warnings GTest::gmock GTest::gtest_main)
    gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
        PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "OMP_NUM_THREADS=2;OMP_WAIT_POLICY=passive")
endfunction()

# qsmpi_benchmark(<name> SOURCES a.cpp... LIBS targets...)
function(qsmpi_benchmark name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(benchmark_${name} ${arg_SOURCES})
    target_link_libraries(benchmark_${name} PRIVATE ${arg_LIBS} qsmpi_warnings)
endfunction()
