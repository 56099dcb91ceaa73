# What `cmake --install` lays out, and the two packages made of it (cpack, or deploy/package).
include(CMakePackageConfigHelpers)

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME busbar)
set(made ${CMAKE_BINARY_DIR}/installed)

install(TARGETS busbar DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT busbar)
install(FILES config/default.yaml DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/busbar RENAME busbar.yaml COMPONENT busbar)
install(FILES deploy/systemd/busbar.service DESTINATION lib/systemd/system COMPONENT busbar)
install(FILES deploy/systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME busbar.conf COMPONENT busbar)
install(FILES deploy/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME busbar
  COMPONENT busbar)
install(DIRECTORY config/examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT busbar)
install(FILES config/busbar.yaml config/busbar.schema.json config/INPUTS.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT busbar)
install(FILES README.md SECURITY.md deploy/OPERATING.md deploy/pipeline.svg deploy/threats.svg DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT busbar)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright COMPONENT busbar)
file(GLOB pages plugins/*/*.md)
install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_DOCDIR}/plugins COMPONENT busbar)

# The manual says what the program says.
add_custom_command(OUTPUT ${made}/busbar.1.gz ${made}/busbar.yaml.5.gz
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
  COMMAND ${CMAKE_SOURCE_DIR}/deploy/man-page busbar $<TARGET_FILE:busbar> > ${made}/busbar.1
  COMMAND ${CMAKE_SOURCE_DIR}/deploy/man-page busbar.yaml ${CMAKE_SOURCE_DIR}/config/busbar.yaml > ${made}/busbar.yaml.5
  COMMAND gzip -9nf ${made}/busbar.1 ${made}/busbar.yaml.5
  DEPENDS busbar deploy/man-page config/busbar.yaml VERBATIM)
add_custom_target(manual ALL DEPENDS ${made}/busbar.1.gz ${made}/busbar.yaml.5.gz)
install(FILES ${made}/busbar.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT busbar)
install(FILES ${made}/busbar.yaml.5.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT busbar)

# For who writes a plugin: the header, and how a build finds it and where a plugin belongs.
install(DIRECTORY include/busbar DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
# The pages, as they lie in the tree: they link to each other, to the example and to the pages of what ships.
install(DIRECTORY plugins/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/busbar-dev COMPONENT dev
  FILES_MATCHING PATTERN "*.md" PATTERN "*.svg" PATTERN "examples/acme/*" PATTERN "examples/acme/cases/*" PATTERN "common" EXCLUDE)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/busbar-dev RENAME copyright COMPONENT dev)
file(CONFIGURE OUTPUT ${made}/busbar.pc CONTENT [[
prefix=@CMAKE_INSTALL_PREFIX@
includedir=${prefix}/@CMAKE_INSTALL_INCLUDEDIR@
plugindir=${prefix}/@CMAKE_INSTALL_LIBDIR@/busbar/plugins

Name: busbar
Description: ABI of busbar's plugins, one header
Version: @PROJECT_VERSION@
Cflags: -I${includedir}
]] @ONLY)
install(FILES ${made}/busbar.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
set(plugin_dir ${CMAKE_INSTALL_LIBDIR}/busbar/plugins)
set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/busbar)
configure_package_config_file(deploy/cmake/busbarConfig.cmake.in ${made}/busbarConfig.cmake INSTALL_DESTINATION ${cmake_dir}
  PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_INCLUDEDIR plugin_dir)
write_basic_package_version_file(${made}/busbarConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${made}/busbarConfig.cmake ${made}/busbarConfigVersion.cmake DESTINATION ${cmake_dir} COMPONENT dev)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME busbar)
set(CPACK_PACKAGE_VENDOR "the busbar maintainers")
set(CPACK_PACKAGE_CONTACT "the busbar maintainers <busbar@example.com>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "carries maintenance between an MQTT bus and the systems that plan it")
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_COMPONENTS_ALL busbar dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_BUSBAR_PACKAGE_NAME busbar)
set(CPACK_DEBIAN_BUSBAR_PACKAGE_SECTION net)
set(CPACK_DEBIAN_BUSBAR_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_BUSBAR_PACKAGE_DEPENDS "ca-certificates, passwd, procps")
set(CPACK_DEBIAN_BUSBAR_PACKAGE_RECOMMENDS "mosquitto")
set(CPACK_COMPONENT_BUSBAR_DESCRIPTION
  "An adapter between MQTT and maintenance systems (CMMS, EAM): it decides which
messages matter, asks the planning system for work orders through plugins, and
brings back what becomes of them. Nothing is lost or sent twice.")
set(debian ${CMAKE_SOURCE_DIR}/deploy/debian)
foreach(script postinst prerm postrm conffiles)
  configure_file(${debian}/busbar.${script} ${made}/debian/${script} COPYONLY)
  list(APPEND CPACK_DEBIAN_BUSBAR_PACKAGE_CONTROL_EXTRA ${made}/debian/${script})
endforeach()
set(CPACK_DEBIAN_DEV_PACKAGE_NAME busbar-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS "busbar")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "cmake, gcc, libjson-c-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION
  "What a plugin of busbar is built with: the header of the plugin ABI, pkg-config
and CMake files, and the pages that teach writing one.")
include(CPack)
