// Runs of numbers of any type, as runs of the type that is computed with.

#ifndef KERAS_NORMS_CPU_NUMBERS_H_
#define KERAS_NORMS_CPU_NUMBERS_H_

#include <cstdint>

#ifdef __F16C__
#include <immintrin.h>
#endif

// Before a loop that writes to nothing it reads: compilers give up on proving
// that for many pointers.
#ifdef __clang__
#define KERAS_NORMS_NO_ALIAS _Pragma("clang loop vectorize(assume_safety)")
#else
#define KERAS_NORMS_NO_ALIAS _Pragma("GCC ivdep")
#endif

namespace {

struct Half {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

inline float FloatOf(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline uint32_t BitsOf(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

inline float Widen(Bfloat16 value) {
  return FloatOf(static_cast<uint32_t>(value.bits) << 16);
}

// To the nearest, ties to even; what is not a number stays so.
inline Bfloat16 Narrow(float value, Bfloat16) {
  const uint32_t bits = BitsOf(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const bool number = (bits & 0x7fffffff) <= 0x7f800000;
  return {static_cast<uint16_t>(number ? rounded : (bits >> 16) | 0x40)};
}

inline float Widen(Half value) {
  const uint32_t magnitude = value.bits & 0x7fff;
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16;
  // Moved into place the exponent is 112 too small; subnormal halves come out
  // right by the multiplication.
  const float scaled = FloatOf(magnitude << 13) * FloatOf((112 + 127) << 23);
  const uint32_t infinite = 0x7f800000 | (magnitude << 13);
  const uint32_t bits = magnitude >= 0x7c00 ? infinite : BitsOf(scaled);
  return FloatOf(bits | sign);
}

inline Half Narrow(float value, Half) {
  const uint32_t bits = BitsOf(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  // Rebiased and rounded to the nearest, ties to even; 65520 and more round
  // up to infinity.
  const uint32_t normal =
      (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Adding 0.5 leaves a subnormal half's digits last in the float.
  const uint32_t small = BitsOf(FloatOf(magnitude) + 0.5f) - BitsOf(0.5f);
  uint32_t half = magnitude < (113u << 23) ? small : normal;
  half = magnitude >= 0x477ff000 ? 0x7c00 : half;
  half = magnitude > 0x7f800000 ? 0x7e00 : half;
  return {static_cast<uint16_t>(half | sign)};
}

// Asks for memory ahead of its use: what the processor foresees ends with each
// page, of which a few runs are one.
inline void Prefetch(const void* from, int64_t bytes) {
  const char* at = static_cast<const char*>(from);
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i);
}

// n numbers at `from`: themselves, or widened into `buffer`.
inline const float* Read(const float* from, int64_t, float*) { return from; }

inline const double* Read(const double* from, int64_t, double*) {
  return from;
}

template <class T>
inline const float* Read(const T* from, int64_t n, float* buffer) {
  for (int64_t i = 0; i < n; ++i) buffer[i] = Widen(from[i]);
  return buffer;
}

// Where n numbers are to be computed: in their place, or in `buffer`.
inline float* Place(float* to, float*) { return to; }

inline double* Place(double* to, double*) { return to; }

template <class T>
inline float* Place(T*, float* buffer) {
  return buffer;
}

// From where they were computed to their place.
inline void Write(const float*, int64_t, float*) {}

inline void Write(const double*, int64_t, double*) {}

template <class T>
inline void Write(const float* buffer, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = Narrow(buffer[i], T());
}

#ifdef __F16C__
// GCC vectorizes the above as integers; this is one instruction for eight.
template <>
inline const float* Read(const Half* from, int64_t n, float* buffer) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bits =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(buffer + i, _mm256_cvtph_ps(bits));
  }
  for (; i < n; ++i) buffer[i] = Widen(from[i]);
  return buffer;
}

template <>
inline void Write(const float* buffer, int64_t n, Half* to) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(buffer + i), 0);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), bits);
  }
  for (; i < n; ++i) to[i] = Narrow(buffer[i], Half());
}
#endif

}  // namespace

#endif  // KERAS_NORMS_CPU_NUMBERS_H_
