# Finds hipcc and the HIP runtime: Debian's (hipcc, libamdhip64-dev) or a ROCm in /opt/rocm.
#   -DTRIB_HIP_ARCHS="gfx90a;gfx1100"   the chips that kernels are built for
# Sets TRIB_HIP_FOUND, TRIB_HIPCC, TRIB_HIP_INCLUDE, TRIB_HIP_RUNTIME, or says in one line why not.
set(TRIB_HIP_ARCHS "gfx90a" CACHE STRING "AMD chips to build kernels for")
set(TRIB_HIP_FOUND FALSE)

function(trib_find_hip)
  find_program(hipcc hipcc PATHS $ENV{ROCM_PATH}/bin /opt/rocm/bin NO_CACHE)
  if(NOT hipcc)
    message(STATUS "HIP backend skipped: no hipcc (Debian: hipcc, libamdhip64-dev)")
    return()
  endif()
  find_path(include hip/hip_runtime_api.h PATHS $ENV{ROCM_PATH}/include /opt/rocm/include NO_CACHE)
  find_library(runtime amdhip64 PATHS $ENV{ROCM_PATH}/lib /opt/rocm/lib NO_CACHE)
  if(NOT include OR NOT runtime)
    message(STATUS "HIP backend skipped: no hip/hip_runtime_api.h or libamdhip64 (Debian: libamdhip64-dev)")
    return()
  endif()
  set(archs)
  foreach(arch ${TRIB_HIP_ARCHS})
    list(APPEND archs --offload-arch=${arch})
  endforeach()
  set(trial ${CMAKE_BINARY_DIR}/hip-trial)
  file(WRITE ${trial}.cpp "#include <hip/hip_runtime.h>\n__global__ void k() {}\n")
  execute_process(COMMAND ${hipcc} -x hip ${archs} -std=c++17 -c ${trial}.cpp -o ${trial}.o
    RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_VARIABLE why)
  if(failed)
    string(REGEX REPLACE "[\r\n]+" " " why "${why}")
    message(STATUS "HIP backend skipped: ${hipcc} cannot compile: ${why}")
    return()
  endif()
  message(STATUS "HIP backend: ${hipcc} for ${TRIB_HIP_ARCHS}")
  set(TRIB_HIP_FOUND TRUE PARENT_SCOPE)
  set(TRIB_HIPCC ${hipcc} PARENT_SCOPE)
  set(TRIB_HIP_FLAGS ${archs} PARENT_SCOPE)
  set(TRIB_HIP_INCLUDE ${include} PARENT_SCOPE)
  set(TRIB_HIP_RUNTIME ${runtime} PARENT_SCOPE)
endfunction()
trib_find_hip()

# trib_hip_object(OUT file.cu DEFINITION...): compiles one file, OUT names the object.
function(trib_hip_object out source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.hip.o)
  set(definitions)
  foreach(definition ${ARGN})
    list(APPEND definitions -D${definition})
  endforeach()
  add_custom_command(OUTPUT ${object}
    COMMAND ${TRIB_HIPCC} -x hip ${TRIB_HIP_FLAGS} -std=c++17 -O2 -fPIC -fvisibility=hidden ${definitions}
            -I${CMAKE_SOURCE_DIR} -MD -MF ${object}.d -MT ${object}
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d
    COMMENT "hipcc ${source}" VERBATIM)
  set(${out} ${object} PARENT_SCOPE)
endfunction()
