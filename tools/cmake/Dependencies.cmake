# Finds every library Quern uses: a sufficiently new system package, else what tools/setup put under QUERN_DEPS_DIR.
set(QUERN_DEPS_DIR ${PROJECT_SOURCE_DIR}/.deps CACHE PATH "Where tools/setup puts libraries newer than the system's")
# Tests that compare with llama.cpp are skipped where it is not: tools/setup/fetch-peers.sh fetches it.
set(QUERN_PEERS_DIR ${QUERN_DEPS_DIR}/peers CACHE PATH "llama.cpp/ (headers, models) and lib/ (*.so) to compare with")

# minimum_NAME for every library of the one list of names and versions.
set(dependencies ${PROJECT_SOURCE_DIR}/tools/setup/dependencies.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${dependencies})
file(STRINGS ${dependencies} rows REGEX "^[a-z]")
foreach(row IN LISTS rows)
  string(REGEX MATCH "^[^ ]+ +([^ ]+) +([^ ]+)" ignored "${row}")
  set(minimum_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()

find_package(tl-expected ${minimum_tl-expected} REQUIRED)

find_package(hwy ${minimum_highway} QUIET)
if(hwy_FOUND)
  set(hwy_target hwy::hwy)
else()
  set(HWY_ENABLE_TESTS OFF CACHE INTERNAL "")
  set(HWY_ENABLE_EXAMPLES OFF CACHE INTERNAL "")
  set(HWY_ENABLE_INSTALL OFF CACHE INTERNAL "")
  set(HWY_ENABLE_CONTRIB OFF CACHE INTERNAL "")
  add_subdirectory(${QUERN_DEPS_DIR}/highway ${CMAKE_BINARY_DIR}/highway EXCLUDE_FROM_ALL SYSTEM)
  add_library(hwy::hwy ALIAS hwy)
  set(hwy_target hwy)
endif()
# Highway 1.2 compiles for AVX3_DL (VNNI) only on request; 1.3 always does and ignores this.
target_compile_definitions(${hwy_target} INTERFACE HWY_WANT_AVX3_DL)

if(QUERN_KERNELS_ONLY)
  # Its headers serve any target; its CMake file lies with the libraries for this machine.
  find_path(FMT_INCLUDE_DIR fmt/format.h REQUIRED)
  add_library(quern_fmt INTERFACE)
  target_include_directories(quern_fmt SYSTEM INTERFACE ${FMT_INCLUDE_DIR})
  target_compile_definitions(quern_fmt INTERFACE FMT_HEADER_ONLY=1)
  set(fmt_target quern_fmt)
  return()
endif()

foreach(library TBB fmt spdlog nlohmann_json CLI11)
  find_package(${library} ${minimum_${library}} REQUIRED)
endforeach()
# A package for several releases of Debian names no library whose name another release does not have.
option(QUERN_HEADER_ONLY "Take fmt and spdlog from their headers alone, which takes longer to compile" OFF)
if(QUERN_HEADER_ONLY)
  set(fmt_target fmt::fmt-header-only)
  set(spdlog_target spdlog::spdlog_header_only)
  set_target_properties(spdlog::spdlog_header_only PROPERTIES
    INTERFACE_LINK_LIBRARIES "Threads::Threads;fmt::fmt-header-only")
else()
  set(fmt_target fmt::fmt)
  set(spdlog_target spdlog::spdlog)
endif()
find_package(CURL ${minimum_CURL} REQUIRED)
find_package(OpenSSL ${minimum_openssl} REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=${minimum_PCRE2})
pkg_check_modules(libedit REQUIRED IMPORTED_TARGET libedit>=${minimum_libedit})
# Its CMake file would look for what only its push and pull libraries use.
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core>=${minimum_prometheus})

# The headers alone: Debian's library of it throws where they return errors.
find_package(tomlplusplus ${minimum_tomlplusplus} REQUIRED)
add_library(quern_tomlplusplus INTERFACE)
target_include_directories(quern_tomlplusplus SYSTEM INTERFACE
  $<TARGET_PROPERTY:tomlplusplus::tomlplusplus,INTERFACE_INCLUDE_DIRECTORIES>)
target_compile_definitions(quern_tomlplusplus INTERFACE TOML_HEADER_ONLY=1 TOML_EXCEPTIONS=0)

# Debian's package unpacks to usr/include, the upstream release to include.
find_path(MINJA_INCLUDE_DIR minja/minja.hpp
  PATHS ${QUERN_DEPS_DIR}/minja/usr/include ${QUERN_DEPS_DIR}/minja/include REQUIRED)
add_library(quern_minja INTERFACE)
target_include_directories(quern_minja SYSTEM INTERFACE ${MINJA_INCLUDE_DIR})
target_link_libraries(quern_minja INTERFACE nlohmann_json::nlohmann_json)

# Not the system's, whose header goes with a library built on OpenSSL.
find_path(HTTPLIB_INCLUDE_DIR httplib.h PATHS ${QUERN_DEPS_DIR}/httplib NO_DEFAULT_PATH REQUIRED)
add_library(quern_httplib INTERFACE)
target_include_directories(quern_httplib SYSTEM INTERFACE ${HTTPLIB_INCLUDE_DIR})
# poll, since select knows no descriptor above 1023; a burst of clients waits in the kernel.
target_compile_definitions(quern_httplib INTERFACE CPPHTTPLIB_USE_POLL CPPHTTPLIB_LISTEN_BACKLOG=512)

# OpenTelemetry's SDK, without which `quern serve` traces nothing. Its parts by name: its own CMake file asks for gRPC too.
option(QUERN_TRACING "Trace requests, where OpenTelemetry's SDK is found" ON)
find_package(absl QUIET)
find_path(OPENTELEMETRY_INCLUDE_DIR opentelemetry/exporters/otlp/otlp_http_exporter_factory.h
  PATHS ${QUERN_DEPS_DIR}/opentelemetry/usr/include)
set(opentelemetry_libraries)
foreach(part exporter_otlp_http trace resources common)
  find_library(OPENTELEMETRY_${part} opentelemetry_${part}
    PATHS ${QUERN_DEPS_DIR}/opentelemetry-libraries/usr/lib PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE})
  list(APPEND opentelemetry_libraries ${OPENTELEMETRY_${part}})
endforeach()
# The thread sanitizer does not see how a library synchronizes that is built without it.
if(QUERN_TRACING AND absl_FOUND AND OPENTELEMETRY_INCLUDE_DIR AND NOT "${opentelemetry_libraries}" MATCHES NOTFOUND
    AND NOT QUERN_SANITIZE MATCHES thread)
  add_library(quern_opentelemetry INTERFACE)
  target_include_directories(quern_opentelemetry SYSTEM INTERFACE ${OPENTELEMETRY_INCLUDE_DIR})
  # As Debian's is built.
  target_compile_definitions(quern_opentelemetry INTERFACE HAVE_ABSEIL OPENTELEMETRY_ABI_VERSION_NO=1)
  target_link_libraries(quern_opentelemetry INTERFACE ${opentelemetry_libraries} absl::variant)
  # Under .deps its libraries find one another by the executable's RPATH; its RUNPATH would not do.
  target_link_options(quern_opentelemetry INTERFACE -Wl,--disable-new-dtags)
else()
  message(STATUS "Requests are not traced: OpenTelemetry's SDK is not used (tools/setup/install.sh tracing installs it)")
endif()
