// What kernels need of the machine they run on: a GPU, compiled by NVRTC
// without any headers of CUDA, or the emulation of the tests, which runs the
// threads of a block one after the other on a CPU.

#ifndef KERAS_NORMS_CUDA_DEVICE_H_
#define KERAS_NORMS_CUDA_DEVICE_H_

#ifdef __CUDACC_RTC__

#define KERAS_NORMS_DEVICE __device__ __forceinline__
#define KERAS_NORMS_SHARED __shared__
#define KERAS_NORMS_KERNEL(name, threads, Task)         \
  extern "C" __global__ void __launch_bounds__(threads) \
      name(const __grid_constant__ Task task)
#define KERAS_NORMS_UNROLL _Pragma("unroll")

namespace {

using Bits16 = unsigned short;
using Bits32 = unsigned int;

KERAS_NORMS_DEVICE int Thread() { return threadIdx.x; }
KERAS_NORMS_DEVICE unsigned Block() { return blockIdx.x; }
KERAS_NORMS_DEVICE unsigned Blocks() { return gridDim.x; }
// All of a block have written what they wrote.
KERAS_NORMS_DEVICE void Barrier() { __syncthreads(); }

KERAS_NORMS_DEVICE float Exponential(float x) { return __expf(x); }
KERAS_NORMS_DEVICE float Over(float a, float b) { return __fdividef(a, b); }

KERAS_NORMS_DEVICE float AsFloat(Bits32 bits) { return __uint_as_float(bits); }
KERAS_NORMS_DEVICE Bits32 AsBits(float x) { return __float_as_uint(x); }

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

#else
#include "../test/emulated.h"
#endif

#endif  // KERAS_NORMS_CUDA_DEVICE_H_
