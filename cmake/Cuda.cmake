# Finds a CUDA 12 or 13 compiler without enable_language, which wants more than the plugin needs.
#   -DTRIB_CUDA_ROOT=DIR   a folder with bin/nvcc, include and lib or lib64
#   else nvcc in PATH or /usr/local/cuda, else what `tools/install-cuda build/cuda` has installed
# Sets TRIB_CUDA_FOUND, TRIB_CUDA_NVCC, TRIB_CUDA_INCLUDE, TRIB_CUDA_RUNTIME (static), or says in one line
# why the backend is skipped.
set(TRIB_CUDA_ROOT "" CACHE PATH "Folder of the CUDA compiler and runtime; empty: search")
set(TRIB_CUDA_ARCHS "all-major" CACHE STRING "nvcc -arch value")
set(TRIB_CUDA_FOUND FALSE)

function(trib_find_cuda)
  set(hints)
  if(TRIB_CUDA_ROOT)
    find_program(nvcc nvcc PATHS ${TRIB_CUDA_ROOT}/bin NO_DEFAULT_PATH NO_CACHE)
  else()
    find_program(nvcc nvcc PATHS /usr/local/cuda/bin ${CMAKE_SOURCE_DIR}/build/cuda/root/bin NO_CACHE)
  endif()
  if(NOT nvcc)
    message(STATUS "CUDA backend skipped: no nvcc (install the toolkit, or run tools/install-cuda build/cuda)")
    return()
  endif()
  # A distribution's /usr/bin/nvcc has its parts in the usual places.
  get_filename_component(nvcc ${nvcc} REALPATH)
  get_filename_component(root ${nvcc} DIRECTORY)
  get_filename_component(root ${root} DIRECTORY)
  find_path(include cuda_runtime_api.h HINTS ${root}/include ${root}/targets/x86_64-linux/include NO_CACHE)
  find_library(runtime libcudart_static.a
    HINTS ${root}/lib64 ${root}/lib ${root}/targets/x86_64-linux/lib NO_CACHE)
  if(NOT include OR NOT runtime)
    message(STATUS "CUDA backend skipped: ${nvcc} has no cuda_runtime_api.h or libcudart_static.a beside it")
    return()
  endif()
  find_program(host g++ NO_CACHE)
  if(NOT host)
    message(STATUS "CUDA backend skipped: nvcc needs g++ as its host compiler")
    return()
  endif()
  # What finds a compiler must also see it work: an unsupported g++ shows here, not in the build.
  set(trial ${CMAKE_BINARY_DIR}/cuda-trial)
  file(WRITE ${trial}.cu "__global__ void k() {}\n")
  execute_process(COMMAND ${nvcc} -ccbin ${host} -std=c++17 -c ${trial}.cu -o ${trial}.o
    RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_VARIABLE why)
  if(failed)
    string(REGEX REPLACE "[\r\n]+" " " why "${why}")
    message(STATUS "CUDA backend skipped: ${nvcc} cannot compile: ${why}")
    return()
  endif()
  message(STATUS "CUDA backend: ${nvcc}")
  set(TRIB_CUDA_FOUND TRUE PARENT_SCOPE)
  set(TRIB_CUDA_NVCC ${nvcc} PARENT_SCOPE)
  set(TRIB_CUDA_HOST ${host} PARENT_SCOPE)
  set(TRIB_CUDA_INCLUDE ${include} PARENT_SCOPE)
  set(TRIB_CUDA_RUNTIME ${runtime} PARENT_SCOPE)
endfunction()
trib_find_cuda()

# trib_cuda_object(OUT file.cu DEFINITION...): compiles one file, OUT names the object.
function(trib_cuda_object out source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.cuda.o)
  set(definitions)
  foreach(definition ${ARGN})
    list(APPEND definitions -D${definition})
  endforeach()
  add_custom_command(OUTPUT ${object}
    COMMAND ${TRIB_CUDA_NVCC} -ccbin ${TRIB_CUDA_HOST} -std=c++17 -O2 -arch=${TRIB_CUDA_ARCHS}
            -Xcompiler=-fPIC,-fvisibility=hidden ${definitions} -I${CMAKE_SOURCE_DIR} -MD -MF ${object}.d
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d
    COMMENT "nvcc ${source}" VERBATIM)
  set(${out} ${object} PARENT_SCOPE)
endfunction()
