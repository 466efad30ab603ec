# How everything here is compiled. dcmem-flags: what every target shares; the functions: what libraries add.
#
# Warnings are errors in release, release-clang, debug and coverage. Not under sanitizers and -O3: what gcc believes of
# values on paths depends on what those do to the code.

add_library(dcmem-flags INTERFACE)
target_compile_definitions(dcmem-flags INTERFACE _GNU_SOURCE)
target_compile_options(dcmem-flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>
    $<$<COMPILE_LANG_AND_ID:C,Clang>:-Wthread-safety -Wno-gnu-zero-variadic-macro-arguments>
    $<$<BOOL:${DCMEM_WERROR}>:-Werror>)
target_link_libraries(dcmem-flags INTERFACE Threads::Threads ${CMAKE_DL_LIBS})

if(DCMEM_SANITIZE STREQUAL "address")
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(DCMEM_SANITIZE STREQUAL "thread")
    set(sanitize -fsanitize=thread)
elseif(DCMEM_SANITIZE STREQUAL "memory")
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "DCMEM_SANITIZE=memory needs clang: -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++")
    endif()
    # What libraries without instrumentation write would count as never written, so vendors' are not opened.
    set(sanitize -fsanitize=memory -fsanitize-memory-track-origins -DDCMI_NO_VENDORS)
elseif(DCMEM_SANITIZE)
    message(FATAL_ERROR "DCMEM_SANITIZE is address, thread, memory or empty, not \"${DCMEM_SANITIZE}\"")
endif()
if(DCMEM_SANITIZE)
    target_compile_options(dcmem-flags INTERFACE ${sanitize} -O1 -fno-omit-frame-pointer)
    target_link_options(dcmem-flags INTERFACE ${sanitize})
endif()

# Atomic counters: tests with many threads must not lose counts, and must not be slowed to a crawl by a lock.
if(DCMEM_COVERAGE)
    target_compile_options(dcmem-flags INTERFACE --coverage -fprofile-update=atomic -O0)
    target_link_options(dcmem-flags INTERFACE --coverage)
endif()

# The optimiser at its boldest, uninitialised variables full of rubbish, and the cheap checks of libc and compiler.
# Strict aliasing stays on (-O2 has it too): code that breaks it must break here. No address space limit is part of it:
# reserving much more than there is belongs to how the library works.
if(DCMEM_HOSTILE)
    target_compile_options(dcmem-flags INTERFACE -O3 -ftrivial-auto-var-init=pattern -fstack-protector-strong
        -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()

# dcmem_library_flags(TARGET [PUBLIC_HEADERS_ONLY] [DEFINES NAME...]): objects that go into a library.
#
# No semantic interposition: the library's own calls of its public functions are its own affair, and can be inlined.
function(dcmem_library_flags target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "PUBLIC_HEADERS_ONLY" "" "DEFINES")
    set_target_properties(${target} PROPERTIES
        POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_compile_options(${target} PRIVATE -fno-semantic-interposition)
    target_link_libraries(${target} PRIVATE dcmem-flags)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
    if(NOT arg_PUBLIC_HEADERS_ONLY)
        target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    endif()

    target_compile_definitions(${target} PRIVATE
        ${arg_DEFINES}
        $<$<BOOL:${DCMEM_HARDENED}>:DCMI_HARDENED>
        $<$<CONFIG:Debug>:DCMI_DEBUG>
        # ThreadSanitizer knows nothing of membarrier: it needs the fences that it can see.
        $<$<STREQUAL:${DCMEM_SANITIZE},thread>:DCMI_PORTABLE_FENCES>)
endfunction()

# dcmem_shared(TARGET): links what a shared library of ours links like.
#
# -Bsymbolic: several builds of the library can be open in one process (dcmem bench does that), each calls itself.
# nodelete: threads, forks and the upkeep come back into the library after dlclose().
function(dcmem_shared target)
    set(script ${PROJECT_SOURCE_DIR}/cmake/exports.map)
    set_target_properties(${target} PROPERTIES
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C LINK_DEPENDS ${script})
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:dcmem-flags>)
    target_link_options(${target} PRIVATE
        -Wl,--version-script=${script} -Wl,-Bsymbolic -Wl,--as-needed -Wl,-z,relro -Wl,-z,now
        -Wl,-z,nodelete
        # Nothing may be left for others to bring, but what sanitizers bring with the program.
        $<$<STREQUAL:${DCMEM_SANITIZE},>:-Wl,-z,defs>)
    target_include_directories(${target} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# dcmem_static(TARGET NAME): the static library libNAME.a.
function(dcmem_static target name)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C)
    target_link_libraries(${target} PUBLIC Threads::Threads ${CMAKE_DL_LIBS} PRIVATE $<BUILD_INTERFACE:dcmem-flags>)
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()
