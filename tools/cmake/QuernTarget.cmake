# What every target of the project shares: warnings as errors, exact float semantics, sanitizers.
add_library(quern_flags INTERFACE)
target_include_directories(quern_flags INTERFACE ${PROJECT_SOURCE_DIR})
# Contraction would let the compiler fuse multiply and add in one kernel and not in its twin: results must be the same.
target_compile_options(quern_flags INTERFACE -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor
  -ffp-contract=off)
if(QUERN_SANITIZE)
  # Between the checks that it adds, g++ takes members of a std::variant that are never read for uninitialized.
  target_compile_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE})
endif()
if(QUERN_BUILD_FUZZ)
  target_compile_options(quern_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# A library of one folder: all its sources, its public dependencies after them.
function(quern_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC quern_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()
