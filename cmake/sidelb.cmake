# Flags that every target of ours gets, and the functions that declare targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(SIDELB_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    # Designated initializers leave the rest at its default on purpose.
    -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees overlaps in `"text" + std::string` that are none (GCC bug 105651).
  list(APPEND SIDELB_WARNINGS -Wno-restrict)
endif()
if(CMAKE_UNITY_BUILD)
  # Several units as one: a name of one may hide that of another, and what is a unit's own looks
  # like a header's.
  list(APPEND SIDELB_WARNINGS -Wno-shadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND SIDELB_WARNINGS -Wno-subobject-linkage)
  endif()
endif()
if(SIDELB_WERROR)
  list(APPEND SIDELB_WARNINGS -Werror)
endif()

set(SIDELB_SANITIZE_FLAGS "")
if(SIDELB_SANITIZE STREQUAL "address")
  # Not vptr: Debian's libraries (spdlog) do not export the type information that it looks for.
  set(SIDELB_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all
      -fno-omit-frame-pointer)
elseif(SIDELB_SANITIZE STREQUAL "thread")
  # Asio uses atomic_thread_fence, of which g++ warns under TSan.
  set(SIDELB_SANITIZE_FLAGS -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
elseif(SIDELB_SANITIZE STREQUAL "fuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SIDELB_SANITIZE=fuzzer needs Clang: -DCMAKE_CXX_COMPILER=clang++-14")
  endif()
  set(SIDELB_SANITIZE_FLAGS -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=vptr
      -fno-sanitize-recover=all -fno-omit-frame-pointer
      -fsanitize-ignorelist=${CMAKE_SOURCE_DIR}/tests/fuzz/ignore.txt
      -fsanitize-coverage-ignorelist=${CMAKE_SOURCE_DIR}/tests/fuzz/ignore.txt)
elseif(SIDELB_SANITIZE)
  message(FATAL_ERROR
    "SIDELB_SANITIZE is '${SIDELB_SANITIZE}'; allowed: empty, address, thread, fuzzer")
endif()

# Relative relocations as bitmaps: 24 bytes each otherwise, which the start reads and which stay
# resident (docs/decisions/0017-memory-at-rest.md). Needs binutils 2.38, and glibc 2.36 to run.
set(SIDELB_LINK_FLAGS "")
if(NOT SIDELB_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  include(CheckCXXSourceRuns)
  set(CMAKE_REQUIRED_LINK_OPTIONS -Wl,-z,pack-relative-relocs)
  check_cxx_source_runs("int main() { return 0; }" SIDELB_HAS_PACKED_RELOCATIONS)
  if(SIDELB_HAS_PACKED_RELOCATIONS)
    set(SIDELB_LINK_FLAGS ${CMAKE_REQUIRED_LINK_OPTIONS})
  endif()
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
endif()

# sidelb_flags(TARGET): warnings, sanitizers and the include root.
function(sidelb_flags target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${SIDELB_WARNINGS} ${SIDELB_SANITIZE_FLAGS})
  target_link_options(${target} PRIVATE ${SIDELB_SANITIZE_FLAGS})
endfunction()

# sidelb_precompile(TARGET HEADER...): headers that nearly every unit of the target includes.
if(NOT SIDELB_PCH MATCHES "^(none|tests|all)$")
  message(FATAL_ERROR "SIDELB_PCH is '${SIDELB_PCH}'; allowed: none, tests, all")
endif()
function(sidelb_precompile target)
  if(SIDELB_PCH STREQUAL "all" OR (SIDELB_PCH STREQUAL "tests" AND target MATCHES "^(unit|integration)_"))
    target_precompile_headers(${target} PRIVATE <algorithm> <functional> <map> <memory> <optional> <string>
      <vector> ${ARGN})
  endif()
endfunction()
set(SIDELB_RPC_HEADERS <grpcpp/grpcpp.h> <sidelb/v1/control.grpc.pb.h> <fmt/format.h>)
set(SIDELB_CONTROL_HEADERS <boost/asio/io_context.hpp> <boost/asio/steady_timer.hpp>
    <boost/asio/any_io_executor.hpp> <absl/status/statusor.h> <absl/container/btree_map.h>
    <absl/container/flat_hash_map.h> <fmt/format.h>)
set(SIDELB_TEST_HEADERS <gmock/gmock.h> <gtest/gtest.h>)

# sidelb_library(NAME SOURCES a.cc... LINK other...)
function(sidelb_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  sidelb_flags(${name})
endfunction()

# sidelb_executable(NAME SOURCES a.cc... LINK other...)
function(sidelb_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  target_link_options(${name} PRIVATE ${SIDELB_LINK_FLAGS})
  sidelb_flags(${name})
endfunction()

# sidelb_test(NAME LABEL unit|integration|e2e SOURCES a.cc... LINK other... [TIMEOUT s])
# One ctest entry for each TEST in the sources.
function(sidelb_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  sidelb_executable(${name} SOURCES ${ARG_SOURCES} LINK ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT}
               ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp")
endfunction()
