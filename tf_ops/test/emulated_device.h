// The device functions of ../cuda/device.h for the emulation, see emulation.h.

#ifndef KERAS_NORMS_TEST_EMULATED_DEVICE_H_
#define KERAS_NORMS_TEST_EMULATED_DEVICE_H_

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define KERAS_NORMS_DEVICE inline
#define KERAS_NORMS_SHARED(Type, name, size)                                 \
  static const size_t name##_at = emulation::Reserve(sizeof(Type) * (size)); \
  Type* const name = reinterpret_cast<Type*>(emulation::Shared() + name##_at)
#define KERAS_NORMS_UNROLL
#define KERAS_NORMS_KERNEL(name, blocks, Task)                          \
  static void name(const Task& task);                                   \
  static const emulation::Kernel name##_kernel(                         \
      #name, keras_norms::kThreads,                                     \
      [](const void* task) { name(*static_cast<const Task*>(task)); }); \
  static void name(const Task& task)

namespace emulation {

// A kernel, which registers itself by name.
struct Kernel {
  const char* name;
  int threads;
  void (*run)(const void* task);

  Kernel(const char* name, int threads, void (*run)(const void* task));
};

struct Where {
  int thread;
  unsigned block;
  unsigned blocks;
  int rank;  // of the block in its cluster
};
extern Where where;

enum class Barriers { kBlock, kCluster };
void Wait(Barriers barrier);

// Static shared memory. A reserved array has the same offset in all blocks.
size_t Reserve(size_t bytes);
char* Shared();
char* SharedOf(int rank);
char* DynamicShared();

}  // namespace emulation

namespace {

using Bits16 = uint16_t;
using Bits32 = uint32_t;

inline int Thread() { return emulation::where.thread; }
inline unsigned Block() { return emulation::where.block; }
inline unsigned Blocks() { return emulation::where.blocks; }
inline void Barrier() { emulation::Wait(emulation::Barriers::kBlock); }
inline void ClusterBarrier() { emulation::Wait(emulation::Barriers::kCluster); }
inline char* DynamicShared() { return emulation::DynamicShared(); }
template <class P>
inline const P* Peer(const P* here, int rank) {
  const char* const at = reinterpret_cast<const char*>(here);
  return reinterpret_cast<const P*>(emulation::SharedOf(rank) +
                                    (at - emulation::Shared()));
}

inline float FastExp(float x) { return std::exp(x); }
inline float FastDivide(float a, float b) { return a / b; }

inline float AsFloat(Bits32 bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline Bits32 AsBits(float x) {
  Bits32 bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

inline void LoadQuad(const void* from, Bits32 (&to)[4]) {
  if (reinterpret_cast<uintptr_t>(from) % 16) std::abort();
  std::memcpy(to, from, 16);
}
inline void StoreQuad(const Bits32 (&from)[4], void* to) {
  if (reinterpret_cast<uintptr_t>(to) % 16) std::abort();
  std::memcpy(to, from, 16);
}

inline float FromHalf(Bits16 half) {
  const int exponent = half >> 10 & 31, rest = half & 1023;
  float size = exponent == 31 ? (rest ? NAN : INFINITY)
               : exponent == 0
                   ? std::ldexp(static_cast<float>(rest), -24)
                   : std::ldexp(static_cast<float>(rest + 1024), exponent - 25);
  return half >> 15 ? -size : size;
}

inline Bits16 ToHalf(float x) {
  const int sign = std::signbit(x) ? 0x8000 : 0;
  const float size = std::fabs(x);
  if (x != x) return static_cast<Bits16>(sign | 0x7e00);
  if (size >= 65520.0f) return static_cast<Bits16>(sign | 0x7c00);
  const int exponent = size < 6.1035156e-5f ? -14 : std::ilogb(size);
  // Subnormal numbers lack the first digit; rounding may carry over.
  const int digits =
      static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<Bits16>(sign | (((exponent + 14) << 10) + digits));
}

}  // namespace

#endif  // KERAS_NORMS_TEST_EMULATED_DEVICE_H_
