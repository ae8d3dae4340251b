# Finds every library Quern uses: a sufficiently new system package, else a pinned source under QUERN_DEPS_DIR.
set(QUERN_DEPS_DIR ${PROJECT_SOURCE_DIR}/.deps CACHE PATH "Where tools/setup puts sources of libraries")
# Tests that compare with llama.cpp are skipped where it is not: tools/setup/fetch-peers.sh fetches it.
set(QUERN_PEERS_DIR ${QUERN_DEPS_DIR}/peers CACHE PATH "llama.cpp/ (headers, models) and lib/ (*.so) to compare with")

find_package(TBB 2021.8 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(tl-expected REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)

find_package(hwy 1.2 QUIET)
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

find_path(MINJA_INCLUDE_DIR minja/minja.hpp PATHS ${QUERN_DEPS_DIR}/minja/usr/include REQUIRED)
add_library(quern_minja INTERFACE)
target_include_directories(quern_minja SYSTEM INTERFACE ${MINJA_INCLUDE_DIR})
target_link_libraries(quern_minja INTERFACE nlohmann_json::nlohmann_json)
