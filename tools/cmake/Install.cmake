# What `cmake --install` lays where, and the Debian package of it (preset "package").
include(GNUInstallDirs)

install(TARGETS quern)
# Documents lie as they do here, so that links from one to another hold.
foreach(document
    README.md
    CONTRIBUTING.md
    bench/README.md
    kernels/NOTES.md
    runtime/README.md
    server/README.md
    server/SIGNATURES.md
    tools/README.md
    tools/demo_model/README.md
    tools/demo_model/chat.svg
    tools/hub/README.md)
  cmake_path(GET document PARENT_PATH folder)
  install(FILES ${document} DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(DIRECTORY tools/monitoring DESTINATION ${CMAKE_INSTALL_DOCDIR}/tools)
# Not with the documents, which Debian's images for containers leave out: rules that servers read, and the notice that the
# data of the demo model, which the executable holds, ask for.
install(FILES tools/screening/default.rules tools/demo_model/WORDNET-LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/quern)

# The program itself writes its manual page and completion. Built for another machine it needs an emulator for that
# (CMAKE_CROSSCOMPILING_EMULATOR); without one they are left out.
if(NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR)
  set(documents ${CMAKE_BINARY_DIR}/documents)
  file(MAKE_DIRECTORY ${documents})
  add_custom_command(OUTPUT ${documents}/quern.1 ${documents}/quern ${documents}/_quern ${documents}/quern.fish
    COMMAND quern man > ${documents}/quern.1
    COMMAND quern completion bash > ${documents}/quern
    COMMAND quern completion zsh > ${documents}/_quern
    COMMAND quern completion fish > ${documents}/quern.fish
    DEPENDS quern
    COMMENT "Writing manual page and completion")
  add_custom_target(documents ALL DEPENDS ${documents}/quern.1)
  install(FILES ${documents}/quern.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${documents}/quern DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${documents}/_quern DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${documents}/quern.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Quern <quern@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "runs GGUF language models on CPUs, with an HTTP server")
set(CPACK_PACKAGE_DESCRIPTION
"Quern loads language models from GGUF files and runs them on the processor,
with results that do not depend on how many threads or neighbours there were.
.
It answers on the command line, and over HTTP with OpenAI's interface and
llama.cpp's. It downloads models from hubs, quantizes them, and measures their
speed and exactness. Nothing is started at installation: quern install-service
writes a systemd unit for a model.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/tools/cmake/DebianLayout.cmake)
include(CPack)
