// SIMD vectors as wide as the instruction set allows, and element types in
// memory.

#ifndef KERAS_NORMS_CPU_SIMD_TYPES_H_
#define KERAS_NORMS_CPU_SIMD_TYPES_H_

#include <cstdint>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <class S>
constexpr int64_t kVectorSize = kVectorBytes / sizeof(S);

template <class N, int64_t bytes>
struct VectorOf {
  typedef N type __attribute__((vector_size(bytes)));
};

template <class N, int64_t bytes = kVectorBytes>
using Vector = typename VectorOf<N, bytes>::type;

// For V, a vector or a single element: the type of an element, and integers for
// the bits of V and for the bits of as many 16-bit elements.
template <class V>
struct VectorTraits {
  using Scalar = decltype(V()[0] + 0);
  static constexpr bool kDouble = sizeof(Scalar) == 8;
  using Bits = Vector<uint32_t>;
  using Bits16 = Vector<uint16_t, kVectorBytes / 2>;
};
template <>
struct VectorTraits<float> {
  using Scalar = float;
  static constexpr bool kDouble = false;
  using Bits = uint32_t;
  using Bits16 = uint16_t;
};
template <>
struct VectorTraits<double> {
  using Scalar = double;
  static constexpr bool kDouble = true;
};

template <class V>
using Scalar = typename VectorTraits<V>::Scalar;
template <class V>
using Bits = typename VectorTraits<V>::Bits;
template <class V>
using Bits16 = typename VectorTraits<V>::Bits16;

struct Half {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

template <class To, class From>
inline To BitCast(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "other sizes");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <class V>
inline V Widen(Bits<V> bits, Bfloat16) {
  return BitCast<V>(bits << 16);
}

// Rounds to nearest, ties to even. NaN stays NaN.
template <class V>
inline Bits<V> Narrow(V value, Bfloat16) {
  const Bits<V> bits = BitCast<Bits<V>>(value);
  const Bits<V> rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return (value != value ? bits | 0x400000 : rounded) >> 16;
}

// It avoids subnormal floats, because TensorFlow's threads read them as 0.
template <class V>
inline V Widen(Bits<V> half, Half) {
  const Bits<V> magnitude = half & 0x7fff;
  // After the shift, the exponent is too small by 112.
  const Bits<V> moved = (magnitude << 13) + (112u << 23);
  // The bits of a subnormal half, with a leading one that is subtracted again.
  const V small = BitCast<V>(moved + (1u << 23)) - BitCast<float>(113u << 23);
  const Bits<V> infinite = 0x7f800000 | (magnitude << 13);
  Bits<V> bits = magnitude < 0x400u ? BitCast<Bits<V>>(small) : moved;
  bits = magnitude >= 0x7c00u ? infinite : bits;
  return BitCast<V>(bits | (half & 0x8000) << 16);
}

template <class V>
inline Bits<V> Narrow(V value, Half) {
  const Bits<V> bits = BitCast<Bits<V>>(value);
  const Bits<V> magnitude = bits & 0x7fffffff;
  // Rebiases and rounds to nearest, ties to even. Values from 65520 on become
  // infinity.
  const Bits<V> normal =
      (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Adding 0.5 moves the bits of a subnormal half to the end of the float.
  const Bits<V> small = BitCast<Bits<V>>(BitCast<V>(magnitude) + 0.5f) -
                        BitCast<uint32_t>(0.5f);
  Bits<V> half = magnitude < (113u << 23) ? small : normal;
  half = magnitude >= 0x477ff000u ? Bits<V>() + 0x7c00 : half;
  half = magnitude > 0x7f800000u ? Bits<V>() + 0x7e00 : half;
  return half | ((bits >> 16) & 0x8000);
}

#if defined(__AVX512BW__)
inline Vector<float> Widened(Bits16<Vector<float>> bits, Half) {
  return _mm512_cvtph_ps((__m256i)bits);
}
inline Bits16<Vector<float>> Narrowed(Vector<float> value, Half) {
  return (Bits16<Vector<float>>)_mm512_cvtps_ph(value, 0);
}

inline Vector<float> Widened(Bits16<Vector<float>> bits, Bfloat16) {
  const Vector<uint16_t> lower = {0, 0, 0, 1, 0, 2,  0, 3,  0, 4,  0,
                                  5, 0, 6, 0, 7, 0,  8, 0,  9, 0,  10,
                                  0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
  return (Vector<float>)_mm512_maskz_permutexvar_epi16(
      0xaaaaaaaa, (__m512i)lower, _mm512_castsi256_si512((__m256i)bits));
}

// As Narrow, in 6 instructions instead of 10: masks select, and one permutation
// takes the upper halves.
inline Bits16<Vector<float>> Narrowed(Vector<float> value, Bfloat16) {
  const Vector<uint16_t> upper = {1,  3,  5,  7,  9,  11, 13, 15,
                                  17, 19, 21, 23, 25, 27, 29, 31};
  const __m512i bits = (__m512i)value;
  const __mmask16 odd =
      _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  rounded =
      _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
  rounded =
      _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return (Bits16<Vector<float>>)_mm512_castsi512_si256(
      _mm512_permutexvar_epi16((__m512i)upper, rounded));
}
#elif defined(__AVX2__) && defined(__F16C__)
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

}  // namespace

#endif  // KERAS_NORMS_CPU_SIMD_TYPES_H_
