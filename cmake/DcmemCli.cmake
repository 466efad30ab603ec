# The program dcmem: cli/ is its commands, bench/ the questions of `dcmem bench`. Both are customers of include/.
#
# Everything but main() is a static library, so that tests/cli and tests/bench can test the parts.
find_package(ZLIB REQUIRED)

set(parts ${DCMEM_CLI_SOURCES})
list(REMOVE_ITEM parts ${PROJECT_SOURCE_DIR}/cli/main.c)

add_library(dcmem-cli-parts STATIC ${parts})
set_target_properties(dcmem-cli-parts PROPERTIES LINKER_LANGUAGE C)
target_include_directories(dcmem-cli-parts PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(dcmem-cli-parts PUBLIC dcmem-flags ZLIB::ZLIB m)

if(EXISTS ${PROJECT_SOURCE_DIR}/cli/main.c)
    add_executable(dcmem-cli cli/main.c)
    set_target_properties(dcmem-cli PROPERTIES OUTPUT_NAME dcmem INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    target_link_libraries(dcmem-cli PRIVATE dcmem-cli-parts $<TARGET_NAME_IF_EXISTS:dcmem-testing> dcmem)
endif()

# Variants for A/B lines of `dcmem bench`: the same sources, one thing left out. They lie beside the program, are
# installed nowhere, and are found at run time beside it or in the folder that DCMEM_BENCH_LIBS names:
#
#     libdcmem-nostats.so     without statistics
#     libdcmem-unchecked.so   without the checks that refuse wrong addresses and handles
function(dcmem_variant name define)
    add_library(dcmem-${name} SHARED ${DCMEM_SOURCES})
    dcmem_library_flags(dcmem-${name} DEFINES ${define})
    dcmem_shared(dcmem-${name})
    # No version in their names: nobody links them.
    set_target_properties(dcmem-${name} PROPERTIES VERSION "" SOVERSION "" NO_SONAME ON)
    if(TARGET dcmem-cli)
        add_dependencies(dcmem-cli dcmem-${name})
    endif()
endfunction()

# Times of an instrumented build say nothing.
if(NOT DCMEM_SANITIZE AND NOT DCMEM_COVERAGE)
    dcmem_variant(nostats DCMI_NO_STATS)
    dcmem_variant(unchecked DCMI_NO_CHECKS)
endif()
