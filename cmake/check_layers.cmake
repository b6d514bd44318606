# Proves the direction of the layers by their includes: cmake -DROOT=... -P check_layers.cmake.
# On Debian all headers share one directory, so leaving a library out of target_link_libraries does
# not stop an #include; this does.
set(failed FALSE)

# forbid(FOLDER REGEX WHY): no #include in FOLDER's sources may match REGEX.
function(forbid folder regex why)
  file(GLOB_RECURSE files ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.cc)
  foreach(file ${files})
    file(STRINGS ${file} includes REGEX "^[ \t]*#[ \t]*include")
    foreach(line ${includes})
      if(line MATCHES "${regex}")
        file(RELATIVE_PATH name ${ROOT} ${file})
        message(SEND_ERROR "${name}: ${line}\n  ${why}")
      endif()
    endforeach()
  endforeach()
endfunction()

set(rpc "(grpc|google/protobuf|google/rpc|\\.pb\\.h)")
forbid(dataplane "${rpc}" "the data plane knows no gRPC and no protobuf")
forbid(dataplane "\"(server|client|proto|tests|bench)/" "the data plane knows no upper layer")
forbid(dataplane/base "\"dataplane/(pool|net|health|runtime|dataplane)" "base stands below everything")
forbid(dataplane/pool "\"dataplane/(net|health|runtime|dataplane)" "pool knows only base")
forbid(dataplane/pool "(boost/|<thread>|<mutex>|<sys/|<unistd.h>)" "pool has no I/O, thread or mutex")
forbid(dataplane/net "\"dataplane/(runtime|dataplane\\.h)" "net knows no runtime")
forbid(dataplane/health "\"dataplane/(runtime|dataplane\\.h)" "health knows no runtime")
forbid(server/control "${rpc}" "control knows no gRPC and no protobuf")
forbid(server/control "\"dataplane/(net|runtime)/" "control sees the data plane through dataplane.h and health")
forbid(server/control "\"server/(rpc|providers|admin|server|options)" "control knows no upper layer")
forbid(server/providers "${rpc}" "providers know no gRPC and no protobuf")
forbid(server/rpc "\"dataplane/(net|runtime|health)/" "rpc sees control")
forbid(client "\"(dataplane|server)/" "the client knows only the API")
