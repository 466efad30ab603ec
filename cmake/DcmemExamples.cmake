# Each file of examples/ is a program.
foreach(source ${DCMEM_EXAMPLES})
    cmake_path(GET source STEM LAST_ONLY name)
    cmake_path(GET source EXTENSION extension)
    if(extension STREQUAL ".cpp" AND NOT has_cxx)
        continue()
    endif()
    add_executable(example-${name} ${source})
    set_target_properties(example-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    target_link_libraries(example-${name} PRIVATE dcmem-flags $<TARGET_NAME_IF_EXISTS:dcmem-testing> dcmem)
endforeach()
