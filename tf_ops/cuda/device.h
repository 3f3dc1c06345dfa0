// The device functions that kernels use. This file defines them for GPUs, for
// NVRTC without any CUDA headers. Another device defines the same names in a
// header that is included before, as the emulation of the tests does, which
// runs the threads of a block one after the other on a CPU.

#ifndef KERAS_NORMS_CUDA_DEVICE_H_
#define KERAS_NORMS_CUDA_DEVICE_H_

#include "geometry.h"

#ifdef __CUDACC_RTC__

#define KERAS_NORMS_DEVICE __device__ __forceinline__
// An array in the static shared memory of a block.
#define KERAS_NORMS_SHARED(Type, name, size) __shared__ Type name[size]
// The least number of blocks that must fit on a multiprocessor, which limits
// the registers of a thread. Kernels need more registers on sm_70.
#if __CUDA_ARCH__ < 750
#define KERAS_NORMS_BLOCKS(blocks) 2
#else
#define KERAS_NORMS_BLOCKS(blocks) blocks
#endif
#define KERAS_NORMS_KERNEL(name, blocks, Task)                             \
  extern "C" __global__ void __launch_bounds__(keras_norms::kThreads,      \
                                               KERAS_NORMS_BLOCKS(blocks)) \
      name(const __grid_constant__ Task task)
#define KERAS_NORMS_UNROLL _Pragma("unroll")

namespace {

using Bits16 = unsigned short;
using Bits32 = unsigned int;

KERAS_NORMS_DEVICE int Thread() { return threadIdx.x; }
KERAS_NORMS_DEVICE unsigned Block() { return blockIdx.x; }
KERAS_NORMS_DEVICE unsigned Blocks() { return gridDim.x; }
// Waits for all threads of the block; their writes are then visible.
KERAS_NORMS_DEVICE void Barrier() { __syncthreads(); }

// The shared memory that is requested at launch, aligned to 16 bytes.
KERAS_NORMS_DEVICE char* DynamicShared() {
  extern __shared__ uint4 keras_norms_dynamic[];
  return reinterpret_cast<char*>(keras_norms_dynamic);
}

// The blocks of a cluster run at the same time and can read each other's shared
// memory.
#if __CUDA_ARCH__ >= 900
// Like Barrier, for all blocks of the cluster.
KERAS_NORMS_DEVICE void ClusterBarrier() {
  asm volatile(
      "barrier.cluster.arrive;\n"
      "barrier.cluster.wait;" ::
          : "memory");
}
// The address, in another block of the cluster, of what `here` is in this one.
template <class P>
KERAS_NORMS_DEVICE const P* Peer(const P* here, int rank) {
  const P* there;
  asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(here), "r"(rank));
  return there;
}
#else
KERAS_NORMS_DEVICE void ClusterBarrier() { __syncthreads(); }
template <class P>
KERAS_NORMS_DEVICE const P* Peer(const P* here, int) {
  return here;
}
#endif

KERAS_NORMS_DEVICE float FastExp(float x) { return __expf(x); }
KERAS_NORMS_DEVICE float FastDivide(float a, float b) {
  return __fdividef(a, b);
}

KERAS_NORMS_DEVICE float AsFloat(Bits32 bits) { return __uint_as_float(bits); }
KERAS_NORMS_DEVICE Bits32 AsBits(float x) { return __float_as_uint(x); }

// 16 bytes of global memory in one access. It is written in PTX because the
// compiler splits copies of structures.
KERAS_NORMS_DEVICE void LoadQuad(const void* from, Bits32 (&to)[4]) {
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "l"(from));
}

KERAS_NORMS_DEVICE void StoreQuad(const Bits32 (&from)[4], void* to) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to),
               "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

KERAS_NORMS_DEVICE float FromHalf(Bits16 half) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
  return x;
}

KERAS_NORMS_DEVICE Bits16 ToHalf(float x) {
  Bits16 half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
  return half;
}

}  // namespace

#elif !defined(KERAS_NORMS_DEVICE)
#error "Compile with NVRTC, or with -include of another device, see ../Makefile"
#endif

#endif  // KERAS_NORMS_CUDA_DEVICE_H_
