// Loops over vectors, and single numbers where there is less than a vector:
// written once for both. What is narrower in memory is widened on the way.

#ifndef KERAS_NORMS_CPU_VECTORS_H_
#define KERAS_NORMS_CPU_VECTORS_H_

#include <cstdint>

#include "numbers.h"

#define KERAS_NORMS_INLINE __attribute__((always_inline))

namespace {

template <class S, class T>
constexpr bool kNarrower = sizeof(T) < sizeof(S);

// A V of the numbers from `from` on.
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

// As it is in memory.
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

// Past the caches, which would read a line of memory before it is written.
template <class V, class T>
inline void Stream(V value, T* to) {
  const auto stored = Stored(value, to);
  if constexpr (sizeof(stored) == 8) {
    _mm_stream_si64((long long*)to, Same<long long>(stored));
  } else if constexpr (sizeof(stored) == 16) {
    _mm_stream_si128((__m128i*)to, Same<__m128i>(stored));
#ifdef __AVX2__
  } else if constexpr (sizeof(stored) == 32) {
    _mm256_stream_si256((__m256i*)to, Same<__m256i>(stored));
#endif
#ifdef __AVX512F__
  } else if constexpr (sizeof(stored) == 64) {
    _mm512_stream_si512((__m512i*)to, Same<__m512i>(stored));
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

// Asks for memory that is read for the last time where `last`, so that it
// need not be kept.
inline void Prefetch(const void* from, bool last) {
  if (last) {
    __builtin_prefetch(from, 0, 0);
  } else {
    __builtin_prefetch(from);
  }
}

// f(lane, i) for the numbers of a vector, for what has no vector instruction.
template <class V, class F>
inline V EachLane(V value, const F& f) {
  for (int64_t i = 0; i < int64_t(sizeof(V) / sizeof(Scalar<V>)); ++i) {
    value[i] = f(value[i], i);
  }
  return value;
}
template <class F>
inline float EachLane(float value, const F& f) {
  return f(value, 0);
}
template <class F>
inline double EachLane(double value, const F& f) {
  return f(value, 0);
}

// f(V(), i) for n numbers: for vectors of them, then for each that is left.
template <class S, class F>
KERAS_NORMS_INLINE inline void EachVector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes<S> <= n; i += kLanes<S>) f(Vector<S>(), i);
  for (; i < n; ++i) f(S(), i);
}

}  // namespace

#endif  // KERAS_NORMS_CPU_VECTORS_H_
