// Loads, stores and loops that are written once for vectors and for the single
// elements that remain. Types that are narrower in memory are converted.

#ifndef KERAS_NORMS_CPU_VECTORS_H_
#define KERAS_NORMS_CPU_VECTORS_H_

#include <cstdint>

#include "simd_types.h"

#define KERAS_NORMS_INLINE __attribute__((always_inline))

namespace {

template <class S, class T>
constexpr bool kNarrower = sizeof(T) < sizeof(S);

// Loads a vector or an element.
template <class V, class T>
KERAS_NORMS_INLINE inline V Load(const T* from) {
  if constexpr (kNarrower<Scalar<V>, T>) {
    Bits16<V> bits;
    __builtin_memcpy(&bits, from, sizeof(bits));
    return Widened(bits, T());
  } else {
    V value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
  }
}

// Converts to the type in memory.
template <class V, class T>
KERAS_NORMS_INLINE inline auto Stored(V value, const T*) {
  if constexpr (kNarrower<Scalar<V>, T>) {
    return Narrowed(value, T());
  } else {
    return value;
  }
}

template <class V, class T>
KERAS_NORMS_INLINE inline void Store(V value, T* to) {
  const auto stored = Stored(value, to);
  __builtin_memcpy(to, &stored, sizeof(stored));
}

#ifdef __x86_64__
constexpr bool kStreams = true;

// A non-temporal store: a store through the cache would first read the line.
template <class V, class T>
inline void Stream(V value, T* to) {
  const auto stored = Stored(value, to);
  if constexpr (sizeof(stored) == 8) {
    _mm_stream_si64((long long*)to, BitCast<long long>(stored));
  } else if constexpr (sizeof(stored) == 16) {
    _mm_stream_si128((__m128i*)to, BitCast<__m128i>(stored));
#ifdef __AVX2__
  } else if constexpr (sizeof(stored) == 32) {
    _mm256_stream_si256((__m256i*)to, BitCast<__m256i>(stored));
#endif
#ifdef __AVX512F__
  } else if constexpr (sizeof(stored) == 64) {
    _mm512_stream_si512((__m512i*)to, BitCast<__m512i>(stored));
#endif
  } else {
    Store(value, to);
  }
}

inline void EndStreams() { _mm_sfence(); }
#else
constexpr bool kStreams = false;
template <class V, class T>
inline void Stream(V value, T* to) {
  Store(value, to);
}
inline void EndStreams() {}
#endif

template <class V, class T>
KERAS_NORMS_INLINE inline void Put(V value, T* to, bool streams) {
  if (sizeof(V) == kVectorBytes && streams) {
    Stream(value, to);
  } else {
    Store(value, to);
  }
}

// Keep GCC from loading a vector again for each use, and from holding an array
// in registers that other vectors need more.
template <class V>
KERAS_NORMS_INLINE inline void KeepInRegister(V& value) {
#ifdef __x86_64__
  asm("" : "+v"(value));
#endif
}
template <class V, int N>
KERAS_NORMS_INLINE inline void KeepInMemory(V (&values)[N]) {
  asm("" : "+m"(values));
}

// Replaces each element by f(element, i), if there is no vector instruction.
template <class V, class F>
inline V ForEachLane(V value, const F& f) {
  for (int64_t i = 0; i < int64_t(sizeof(V) / sizeof(Scalar<V>)); ++i) {
    value[i] = f(value[i], i);
  }
  return value;
}
template <class F>
inline float ForEachLane(float value, const F& f) {
  return f(value, 0);
}
template <class F>
inline double ForEachLane(double value, const F& f) {
  return f(value, 0);
}

// Calls f(V(), i) for n elements: for vectors, then for each element that is
// left.
template <class S, class F>
KERAS_NORMS_INLINE inline void ForEachVector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kVectorSize<S> <= n; i += kVectorSize<S>) f(Vector<S>(), i);
  for (; i < n; ++i) f(S(), i);
}

}  // namespace

#endif  // KERAS_NORMS_CPU_VECTORS_H_
