# Runs on the staged files of a package: where Debian has things elsewhere, or compressed.
set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)
file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
execute_process(COMMAND gzip --best --no-name ${share}/man/man1/quern.1 COMMAND_ERROR_IS_FATAL ANY)
