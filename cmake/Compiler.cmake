# Warnings, sanitizers and hardening that every target of the project shares.
add_library(trib_flags INTERFACE)
target_compile_options(trib_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # __int128 is the money type; GCC 12's -Wpedantic and its flow warnings misfire on Boost templates.
  target_compile_options(trib_flags INTERFACE -Wno-pedantic -Wno-maybe-uninitialized -Wno-restrict
                         -Wno-dangling-pointer -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(TRIB_SANITIZE)
  target_compile_options(trib_flags INTERFACE -fsanitize=${TRIB_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(trib_flags INTERFACE -fsanitize=${TRIB_SANITIZE})
endif()
if(TRIB_FUZZ)
  target_compile_options(trib_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
  target_link_options(trib_flags INTERFACE -fsanitize=address,undefined)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # A cached precompiled header stays good when a system header was only touched, as an upgrade does.
  target_compile_options(trib_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-validate-input-files-content>)
endif()
find_program(TRIB_LLD NAMES ld.lld-19 ld.lld)
if(TRIB_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_link_options(trib_flags INTERFACE -fuse-ld=lld)
endif()
