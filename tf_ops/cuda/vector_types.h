// Element types of 32 and 16 bits, and vectors of one element or of 16 bytes.
// All arithmetic is in float.

#ifndef KERAS_NORMS_CUDA_VECTOR_TYPES_H_
#define KERAS_NORMS_CUDA_VECTOR_TYPES_H_

#include "device.h"

namespace {

struct Float {
  using Stored = Bits32;
  static KERAS_NORMS_DEVICE float Widen(Bits32 x) { return AsFloat(x); }
  static KERAS_NORMS_DEVICE Bits32 Narrow(float x) { return AsBits(x); }
};

struct Half {
  using Stored = Bits16;
  static KERAS_NORMS_DEVICE float Widen(Bits16 x) { return FromHalf(x); }
  static KERAS_NORMS_DEVICE Bits16 Narrow(float x) { return ToHalf(x); }
};

struct Bfloat16 {
  using Stored = Bits16;
  static KERAS_NORMS_DEVICE float Widen(Bits16 x) {
    return AsFloat(static_cast<Bits32>(x) << 16);
  }
  // Rounds to nearest, ties to even. NaN stays a quiet NaN.
  static KERAS_NORMS_DEVICE Bits16 Narrow(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    Bits16 stored;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(stored) : "f"(x));
    return stored;
#else
    const Bits32 bits = AsBits(x);
    if (x != x) return static_cast<Bits16>(bits >> 16 | 0x40);
    return static_cast<Bits16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
  }
};

KERAS_NORMS_DEVICE bool Aligned(const float* data) {
  return reinterpret_cast<unsigned long long>(data) % 16 == 0;
}

// A vector of V adjacent elements, 16 bytes, in one access.
template <class T, int V>
struct Pack {
  static constexpr int kWords = 4;
  static_assert(V * sizeof(typename T::Stored) == 16, "16 bytes");
  Bits32 words[kWords];

  KERAS_NORMS_DEVICE void Load(const void* data, long long i) {
    LoadQuad(static_cast<const typename T::Stored*>(data) + i, words);
  }
  KERAS_NORMS_DEVICE void Store(void* data, long long i) const {
    StoreQuad(words, static_cast<typename T::Stored*>(data) + i);
  }
  KERAS_NORMS_DEVICE float Get(int j) const {
    if constexpr (kWords == V) {
      return T::Widen(words[j]);
    } else {
      return T::Widen(static_cast<Bits16>(words[j / 2] >> (j % 2 ? 16 : 0)));
    }
  }
  static KERAS_NORMS_DEVICE Pack Of(const float (&x)[V]) {
    Pack pack;
    KERAS_NORMS_UNROLL
    for (int w = 0; w < kWords; ++w) {
      if constexpr (kWords == V) {
        pack.words[w] = T::Narrow(x[w]);
      } else {
        pack.words[w] = T::Narrow(x[2 * w]) |
                        static_cast<Bits32>(T::Narrow(x[2 * w + 1])) << 16;
      }
    }
    return pack;
  }
};

template <class T>
struct Pack<T, 1> {
  typename T::Stored stored;

  KERAS_NORMS_DEVICE void Load(const void* data, long long i) {
    stored = static_cast<const typename T::Stored*>(data)[i];
  }
  KERAS_NORMS_DEVICE void Store(void* data, long long i) const {
    static_cast<typename T::Stored*>(data)[i] = stored;
  }
  KERAS_NORMS_DEVICE float Get(int) const { return T::Widen(stored); }
  static KERAS_NORMS_DEVICE Pack Of(const float (&x)[1]) {
    return {T::Narrow(x[0])};
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_VECTOR_TYPES_H_
