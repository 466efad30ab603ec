# What `cmake --install` puts where: headers, both kinds of both libraries, the program, manual pages, and what
# pkg-config and find_package(dcmem) read. The variants of dcmem bench are installed nowhere.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/dcmem DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

set(libraries dcmem dcmem-static)
if(TARGET dcmem-testing)
    list(APPEND libraries dcmem-testing dcmem-testing-static)
    set_target_properties(dcmem-testing PROPERTIES INSTALL_RPATH "$ORIGIN")
endif()
install(TARGETS ${libraries} EXPORT dcmem
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET dcmem-cli)
    install(TARGETS dcmem-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

file(GLOB pages CONFIGURE_DEPENDS man/*.[1-9])
foreach(page ${pages})
    cmake_path(GET page EXTENSION LAST_ONLY section)
    string(SUBSTRING ${section} 1 -1 section)
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# find_package(dcmem): targets dcmem::dcmem, dcmem::dcmem-static, dcmem::dcmem-testing, dcmem::dcmem-testing-static.
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/dcmem)
install(EXPORT dcmem NAMESPACE dcmem:: FILE dcmemTargets.cmake DESTINATION ${package_folder})
configure_package_config_file(cmake/dcmemConfig.cmake.in ${PROJECT_BINARY_DIR}/dcmemConfig.cmake
    INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/dcmemConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/dcmemConfig.cmake ${PROJECT_BINARY_DIR}/dcmemConfigVersion.cmake
    DESTINATION ${package_folder})

# pkg-config. The prefix is found from where the file lies, so that an installed tree may be moved.
function(dcmem_pkgconfig name description requires)
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE libdir)
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
        OUTPUT_VARIABLE includedir)
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
        OUTPUT_VARIABLE up)
    configure_file(cmake/dcmem.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
dcmem_pkgconfig(dcmem "${PROJECT_DESCRIPTION}" "")
if(TARGET dcmem-testing)
    dcmem_pkgconfig(dcmem-testing "Fake and simulated devices, fault plans: to test programs that use dcmem" "dcmem")
endif()
