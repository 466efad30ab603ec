# Test programs: tests/<area>/<name>_test.c (or .cpp) becomes tests/<area>/<name>_test in the build folder, target
# test-<area>-<name>. Each is linked with test_main.c and the static libraries, so that unit tests reach inner
# functions. tests/<area>/<name>_test.sh are programs as they stand. All of them are listed in tests/list, which
# tools/run-tests reads.
#
# Paths that tests may need are macros: TEST_SOURCE_DIR, TEST_BUILD_DIR, TEST_LIBRARY (libdcmem.so), TEST_PROGRAM
# (dcmem).
find_path(CMOCKA_INCLUDE cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
if(NOT CMOCKA_INCLUDE OR NOT CMOCKA_LIBRARY)
    message(FATAL_ERROR "cmocka is missing: install libcmocka-dev, or configure with -DDCMEM_BUILD_TESTS=OFF")
endif()

enable_testing()

# tests/<area>/<name>_suite.c: tests that take what they test as an argument, for test programs to instantiate.
file(GLOB test_suites CONFIGURE_DEPENDS tests/*/*_suite.c)
add_library(dcmem-test-main STATIC tests/test_main.c ${test_suites})
target_include_directories(dcmem-test-main PUBLIC
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests ${CMOCKA_INCLUDE})
target_compile_definitions(dcmem-test-main PUBLIC
    TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    TEST_BUILD_DIR="${PROJECT_BINARY_DIR}"
    TEST_LIBRARY="$<TARGET_FILE:dcmem>"
    TEST_PROGRAM="${PROJECT_BINARY_DIR}/dcmem"
    # Inner headers must mean the same here as in the library.
    $<TARGET_PROPERTY:dcmem-objects,COMPILE_DEFINITIONS>)
target_link_libraries(dcmem-test-main PUBLIC
    $<TARGET_NAME_IF_EXISTS:dcmem-testing-static> dcmem-static dcmem-flags ${CMOCKA_LIBRARY} m)

# tests/<area>/<name>_stand_in.c: libraries that tests have opened in a vendor's place, tests/<area>/<name>_stand_in.so.
file(GLOB stand_ins CONFIGURE_DEPENDS tests/*/*_stand_in.c)
foreach(source ${stand_ins})
    cmake_path(GET source STEM LAST_ONLY name)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME area)
    add_library(${name} MODULE ${source})
    set_target_properties(${name} PROPERTIES
        PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/${area})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} PRIVATE dcmem-flags)
    list(APPEND stand_ins_of_${area} ${name})
endforeach()

file(GLOB test_sources CONFIGURE_DEPENDS tests/*/*_test.c tests/*/*_test.cpp)
file(GLOB test_scripts CONFIGURE_DEPENDS tests/*/*_test.sh)
set(list "")
foreach(source ${test_sources})
    cmake_path(GET source STEM LAST_ONLY name)
    cmake_path(GET source EXTENSION extension)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME area)
    if(DCMEM_SANITIZE STREQUAL "memory" AND name MATCHES "^(opencl|vulkan)_")
        continue() # such a build opens no vendor's library, nor what stands in for one
    endif()
    if(extension STREQUAL ".cpp" AND NOT has_cxx)
        continue()
    endif()
    # What tests parts of the program needs the program.
    if(area MATCHES "^(cli|bench)$" AND NOT TARGET dcmem-cli-parts)
        continue()
    endif()

    string(REGEX REPLACE "_test$" "" short ${name})
    set(target test-${area}-${short})
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/${area})
    if(area MATCHES "^(cli|bench)$")
        target_link_libraries(${target} PRIVATE dcmem-cli-parts)
    endif()
    target_link_libraries(${target} PRIVATE dcmem-test-main)
    if(stand_ins_of_${area})
        add_dependencies(${target} ${stand_ins_of_${area}})
    endif()
    add_test(NAME ${area}/${name} COMMAND ${target})
    string(APPEND list "${PROJECT_BINARY_DIR}/tests/${area}/${name}\n")
endforeach()

# tests/layers/opencl_layer.c: stands before the real driver, by the headers of the loader that puts it there.
find_path(OPENCL_LAYER_INCLUDE CL/cl_layer.h)
mark_as_advanced(OPENCL_LAYER_INCLUDE)
if(OPENCL_LAYER_INCLUDE)
    add_library(opencl_layer MODULE tests/layers/opencl_layer.c)
    set_target_properties(opencl_layer PROPERTIES
        PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/layers)
    target_link_libraries(opencl_layer PRIVATE dcmem-flags)
else()
    message(STATUS "tests/layers/opencl_layer.c is left out: CL/cl_layer.h is not here")
endif()

# tests/layers/vulkan_layer.c: the same for Vulkan, whose loader finds it by its manifest; by our own declarations.
add_library(vulkan_layer MODULE tests/layers/vulkan_layer.c)
set_target_properties(vulkan_layer PROPERTIES
    PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/layers)
target_include_directories(vulkan_layer PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(vulkan_layer PRIVATE dcmem-flags)
configure_file(tests/layers/vulkan_layer.json ${PROJECT_BINARY_DIR}/tests/layers/vulkan_layer.json COPYONLY)

foreach(script ${test_scripts})
    string(APPEND list "${script}\n")
endforeach()
file(WRITE ${PROJECT_BINARY_DIR}/tests/list "${list}")
