# Toolchain: Debian's compiler for aarch64, and qemu-user, which runs what it builds (preset "aarch64").
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# With all that the emulator knows of the architecture, so that every SIMD target of the kernels runs.
find_program(QUERN_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${QUERN_QEMU_AARCH64} -cpu max -L /usr/aarch64-linux-gnu)
