# What every build that ships is compiled and linked with; tests/lint/hardened reads it back out of the files. What this
# compiler does not know is left out and said.
include(CheckCCompilerFlag)

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
foreach(flag -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero -fcf-protection=full
    -mbranch-protection=standard)
  string(MAKE_C_IDENTIFIER "HAS${flag}" has)
  check_c_compiler_flag(-Werror\ ${flag} ${has})
  if(${has})
    target_compile_options(busbar_flags INTERFACE ${flag})
  endif()
endforeach()
if(CMAKE_BUILD_TYPE STREQUAL "Release") # it needs the optimizer
  target_compile_options(busbar_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
target_link_options(busbar_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
  $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
