# Each file of examples/ is a program; its folders are one each, below.

find_package(OpenCL QUIET) # for opencl.c, which is a program that uses it anyway

foreach(source ${DCMEM_EXAMPLES})
    cmake_path(GET source STEM LAST_ONLY name)
    cmake_path(GET source EXTENSION extension)
    if(extension STREQUAL ".cpp" AND NOT has_cxx)
        continue()
    endif()
    if(name STREQUAL "opencl" AND (NOT OpenCL_FOUND OR DCMEM_SANITIZE STREQUAL "memory"))
        message(STATUS "examples/opencl.c is left out: no OpenCL headers or loader, or a build that may not open it")
        continue()
    endif()
    add_executable(example-${name} ${source})
    set_target_properties(example-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    target_link_libraries(example-${name} PRIVATE dcmem-flags $<TARGET_NAME_IF_EXISTS:dcmem-testing> dcmem
        $<$<STREQUAL:${name},opencl>:OpenCL::OpenCL>)
endforeach()

# --- test runners: the kit under each of those that are here --------------------------------------------------------

find_package(PkgConfig QUIET)

# example_program(FOLDER NAME SOURCES... [DEFINE NAME] [LINK LIBRARY...]): a program examples/FOLDER/NAME.
function(example_program folder name)
    cmake_parse_arguments(PARSE_ARGV 2 program "" "DEFINE" "LINK")
    set(target example-${folder}-${name})
    list(TRANSFORM program_UNPARSED_ARGUMENTS PREPEND ${PROJECT_SOURCE_DIR}/examples/${folder}/)
    add_executable(${target} ${program_UNPARSED_ARGUMENTS})
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples/${folder})
    target_compile_definitions(${target} PRIVATE ${program_DEFINE})
    target_link_libraries(${target} PRIVATE dcmem-flags ${program_LINK} dcmem)
endfunction()

# Twice each: as it should be, and with a broken subject, so that tests can see how a failure looks.
function(dcmem_runner_example module source)
    cmake_path(GET source STEM name)
    cmake_path(GET source EXTENSION extension)
    if(PKG_CONFIG_FOUND)
        pkg_check_modules(${module} QUIET IMPORTED_TARGET ${module})
    endif()
    if(NOT ${module}_FOUND OR (extension STREQUAL ".cpp" AND NOT has_cxx))
        message(STATUS "examples/runners/${source} is left out: ${module} is not here")
        return()
    endif()
    example_program(runners ${name} ${source} tile.c LINK dcmem-testing PkgConfig::${module})
    example_program(runners ${name}-broken ${source} tile.c LINK dcmem-testing PkgConfig::${module}
        DEFINE TILE_IS_BROKEN)
endfunction()

if(TARGET dcmem-testing)
    dcmem_runner_example(cmocka cmocka.c)
    dcmem_runner_example(check check.c)
    dcmem_runner_example(criterion criterion.c)
    dcmem_runner_example(gtest googletest.cpp)
endif()

# --- the image pipeline, its tests, and the bugs that these must find -----------------------------------------------

set(pipeline image.c kernels.c pipeline.c)
example_program(pipeline pipeline main.c ${pipeline})

function(pipeline_test name)
    example_program(pipeline ${name} pipeline_test.c reference.c ${pipeline}
        LINK dcmem-testing PkgConfig::cmocka ${ARGN})
    target_link_options(example-pipeline-${name} PRIVATE -Wl,--wrap=malloc)
endfunction()

if(TARGET dcmem-testing AND TARGET PkgConfig::cmocka)
    pipeline_test(pipeline_test)
    pipeline_test(pipeline_test-missed_copy DEFINE PIPELINE_BUG_MISSED_COPY)
    pipeline_test(pipeline_test-leak DEFINE PIPELINE_BUG_LEAK)
    pipeline_test(pipeline_test-unchecked DEFINE PIPELINE_BUG_UNCHECKED)
endif()

# --- the image pipeline on devices of the program's own -------------------------------------------------------------
#
# Their libraries are linked, since such programs use them anyway. What the library itself needs is none of them.

list(TRANSFORM pipeline PREPEND ../pipeline/ OUTPUT_VARIABLE pipeline_beside)

# dcmem_lines(FOLDER FILE): examples/FOLDER/FILE as strings of C, one a line: FILE.h in the build folder.
function(dcmem_lines folder file)
    set(path ${PROJECT_SOURCE_DIR}/examples/${folder}/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} text)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REGEX REPLACE "([^\n]*)\n" "\"\\1\\\\n\",\n" text "${text}")
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/examples/${folder}/${file}.h CONTENT "${text}" @ONLY)
endfunction()

if(NOT OpenCL_FOUND OR DCMEM_SANITIZE STREQUAL "memory")
    message(STATUS
        "examples/opencl_pipeline is left out: no OpenCL headers or loader, or a build that may not open it")
else()
    dcmem_lines(opencl_pipeline kernels.cl)
    example_program(opencl_pipeline opencl_pipeline main.c lane.c timeline.c device.c ${pipeline_beside}
        ../pipeline/album.c
        LINK OpenCL::OpenCL)
    target_include_directories(example-opencl_pipeline-opencl_pipeline PRIVATE
        ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/examples/opencl_pipeline)
endif()

# GLSL becomes SPIR-V, an array of words a step, and so early that tools which read the sources find it.
find_package(Vulkan QUIET)
find_program(GLSLANG_VALIDATOR glslangValidator)
mark_as_advanced(GLSLANG_VALIDATOR)
if(NOT Vulkan_FOUND OR NOT GLSLANG_VALIDATOR OR DCMEM_SANITIZE STREQUAL "memory")
    message(STATUS "examples/vulkan_compute is left out: no Vulkan headers or loader (package libvulkan-dev), no "
        "glslangValidator (package glslang-tools), or a build that may not open it")
else()
    set(source ${PROJECT_SOURCE_DIR}/examples/vulkan_compute/steps.comp)
    set(folder ${PROJECT_BINARY_DIR}/examples/vulkan_compute)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(MAKE_DIRECTORY ${folder})
    foreach(step GREY BLUR SOBEL HALVE HISTOGRAM RECOLOUR)
        execute_process(COMMAND ${GLSLANG_VALIDATOR} -V --target-env vulkan1.2 -D${step} --vn code_of_${step}
            -o ${folder}/${step}.h ${source} OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    example_program(vulkan_compute vulkan_compute main.c device.c ${pipeline_beside} ../pipeline/album.c
        LINK Vulkan::Vulkan)
    target_include_directories(example-vulkan_compute-vulkan_compute PRIVATE ${PROJECT_SOURCE_DIR} ${folder})
endif()
