// Vectors of numbers as wide as the instruction set, or one number: loops are
// written once for both. In memory they may be of a narrower type.

#ifndef KERAS_NORMS_CPU_NUMBERS_H_
#define KERAS_NORMS_CPU_NUMBERS_H_

#include <cstdint>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define KERAS_NORMS_INLINE __attribute__((always_inline))

namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <class S>
constexpr int64_t kLanes = kVectorBytes / sizeof(S);

template <class N, int64_t bytes>
struct VectorOf {
  typedef N type __attribute__((vector_size(bytes)));
};

template <class N, int64_t bytes = kVectorBytes>
using Vector = typename VectorOf<N, bytes>::type;

// Of one number or of a vector V: a number, and what holds its bits, or the
// bits of as many numbers of 16.
template <class V>
struct Kinds {
  using Scalar = decltype(V()[0] + 0);
  static constexpr bool kDouble = sizeof(Scalar) == 8;
  using Bits = Vector<uint32_t>;
  using Bits16 = Vector<uint16_t, kVectorBytes / 2>;
};
template <>
struct Kinds<float> {
  using Scalar = float;
  static constexpr bool kDouble = false;
  using Bits = uint32_t;
  using Bits16 = uint16_t;
};
template <>
struct Kinds<double> {
  using Scalar = double;
  static constexpr bool kDouble = true;
};

template <class V>
using Scalar = typename Kinds<V>::Scalar;
template <class V>
using Bits = typename Kinds<V>::Bits;
template <class V>
using Bits16 = typename Kinds<V>::Bits16;

struct Half {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

template <class To, class From>
inline To Same(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "other sizes");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <class V>
inline V Widen(Bits<V> bits, Bfloat16) {
  return Same<V>(bits << 16);
}

// To the nearest, ties to even; what is not a number stays so.
template <class V>
inline Bits<V> Narrow(V value, Bfloat16) {
  const Bits<V> bits = Same<Bits<V>>(value);
  const Bits<V> rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bits & 0x7fffffff) <= 0x7f800000u ? rounded : (bits >> 16) | 0x40;
}

template <class V>
inline V Widen(Bits<V> half, Half) {
  const Bits<V> magnitude = half & 0x7fff;
  // Moved into place the exponent is 112 too small; subnormal halves come out
  // right by the multiplication.
  const V scaled =
      Same<V>(magnitude << 13) * Same<float>(uint32_t{(112 + 127) << 23});
  const Bits<V> infinite = 0x7f800000 | (magnitude << 13);
  const Bits<V> bits = magnitude >= 0x7c00u ? infinite : Same<Bits<V>>(scaled);
  return Same<V>(bits | (half & 0x8000) << 16);
}

template <class V>
inline Bits<V> Narrow(V value, Half) {
  const Bits<V> bits = Same<Bits<V>>(value);
  const Bits<V> magnitude = bits & 0x7fffffff;
  // Rebiased and rounded to the nearest, ties to even; 65520 and more round
  // up to infinity.
  const Bits<V> normal =
      (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Adding 0.5 leaves a subnormal half's digits last in the float.
  const Bits<V> small = Same<Bits<V>>(Same<V>(magnitude) + 0.5f) -
                        Same<uint32_t>(0.5f);
  Bits<V> half = magnitude < (113u << 23) ? small : normal;
  half = magnitude >= 0x477ff000u ? half * 0 + 0x7c00 : half;
  half = magnitude > 0x7f800000u ? half * 0 + 0x7e00 : half;
  return half | ((bits >> 16) & 0x8000);
}

#if defined(__AVX512F__)
inline Vector<float> Widened(Bits16<Vector<float>> bits, Half) {
  return _mm512_cvtph_ps((__m256i)bits);
}
inline Bits16<Vector<float>> Narrowed(Vector<float> value, Half) {
  return (Bits16<Vector<float>>)_mm512_cvtps_ph(value, 0);
}
#elif defined(__F16C__)
inline Vector<float> Widened(Bits16<Vector<float>> bits, Half) {
  return _mm256_cvtph_ps((__m128i)bits);
}
inline Bits16<Vector<float>> Narrowed(Vector<float> value, Half) {
  return (Bits16<Vector<float>>)_mm256_cvtps_ph(value, 0);
}
#endif

template <class T>
inline Vector<float> Widened(Bits16<Vector<float>> bits, T type) {
  using Wide = Bits<Vector<float>>;
  return Widen<Vector<float>>(__builtin_convertvector(bits, Wide), type);
}
template <class T>
inline float Widened(uint16_t bits, T type) {
  return Widen<float>(bits, type);
}
template <class T>
inline Bits16<Vector<float>> Narrowed(Vector<float> value, T type) {
  using Short = Bits16<Vector<float>>;
  return __builtin_convertvector(Narrow(value, type), Short);
}
template <class T>
inline uint16_t Narrowed(float value, T type) {
  return Narrow(value, type);
}

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

#endif  // KERAS_NORMS_CPU_NUMBERS_H_
