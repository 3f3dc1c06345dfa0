// Activations and their derivatives over runs of numbers.
//
// float32 is approximated by what compilers vectorize (within 6e-7 of exact,
// relative to the larger of 1 and the argument); float64 is the C library's.

#ifndef KERAS_NORMS_CPU_ACTIVATIONS_H_
#define KERAS_NORMS_CPU_ACTIVATIONS_H_

#include <cmath>
#include <cstdint>

#include "kernels.h"
#include "numbers.h"

namespace {

using keras_norms::Activation;

template <class S>
inline S Clamp(S value, S low, S high) {
  // This way around, what is not a number stays so.
  value = value < low ? low : value;
  return value > high ? high : value;
}

// exp of 0 or less.
inline float ExpDown(float x) {
  x = Clamp(x, -87.3f, 0.0f);
  // The sum's last digits are the nearest integer.
  const float magic = x * 1.44269504f + 12582912.0f;
  const float integer = magic - 12582912.0f;
  const float r = (x - integer * 0.693359375f) + integer * 2.12194440e-4f;
  float p = 1.39336521e-3f;
  p = p * r + 8.36318173e-3f;
  p = p * r + 4.16664667e-2f;
  p = p * r + 1.66665763e-1f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  return p * FloatOf((BitsOf(magic) + 127) << 23);
}

inline double ExpDown(double x) { return std::exp(x); }

inline float Magnitude(float x) { return FloatOf(BitsOf(x) & 0x7fffffff); }

inline double Magnitude(double x) { return std::fabs(x); }

template <class S>
inline S Sigmoid(S x) {
  const S e = ExpDown(-Magnitude(x));
  return (x < 0 ? e : S(1)) / (1 + e);
}

template <class S>
inline S SigmoidSlope(S x) {
  const S e = ExpDown(-Magnitude(x));
  return e / ((1 + e) * (1 + e));
}

inline float Tanh(float x) {
  const float size = Magnitude(x);
  const float e = ExpDown(-2 * size);
  const float large = (1 - e) / (1 + e);
  const float w = x * x;
  float p = -6.10494800e-3f;
  p = p * w + 2.10036412e-2f;
  p = p * w - 5.38524985e-2f;
  p = p * w + 1.33327827e-1f;
  p = p * w - 3.33333284e-1f;
  const float small = x + x * w * p;
  return size < 0.625f ? small : (x < 0 ? -large : large);
}

inline double Tanh(double x) { return std::tanh(x); }

// The share of a standard normal distribution that is below x.
inline float NormalShare(float x) {
  const float u = Magnitude(x) * 0.707106781f;
  const float t = 1 / (1 + 0.325f * u);
  float p = -1.58867553e-1f;
  p = p * t + 5.91336131e-1f;
  p = p * t - 5.75625718e-1f;
  p = p * t + 6.22862875e-1f;
  p = p * t - 7.83940107e-2f;
  p = p * t + 2.43785068e-1f;
  p = p * t + 1.70207381e-1f;
  p = p * t + 1.84760094e-1f;
  p = p * t - 6.42806990e-5f;
  const float tail = 0.5f * p * ExpDown(-u * u);
  return x < 0 ? tail : 1 - tail;
}

inline double NormalShare(double x) {
  return 0.5 * std::erfc(-x * 0.70710678118654752440);
}

template <class S>
inline S NormalDensity(S x) {
  return S(0.39894228040143267794) * ExpDown(S(-0.5) * x * x);
}

template <class S>
inline S TanhGeluArgument(S x) {
  return S(1.59576912160573071176) * (x + S(0.044715) * x * x * x);
}

template <class S>
inline S TanhGeluSlope(S x) {
  // Beyond, it is 0 or 1, and cubes may overflow.
  const S z = Clamp(x, S(-30), S(30));
  const S argument = TanhGeluArgument(z);
  const S inner = S(1.59576912160573071176) * (1 + S(0.134145) * z * z);
  return Sigmoid(argument) + z * inner * SigmoidSlope(argument);
}

// As in Keras.
constexpr double kLeak = 0.2;

// values[i] <- f(values[i]).
template <class S>
inline void Activate(Activation function, S* values, int64_t n) {
  switch (function) {
    case Activation::kIdentity:
      return;
    case Activation::kRelu:
      for (int64_t i = 0; i < n; ++i) values[i] = values[i] < 0 ? 0 : values[i];
      return;
    case Activation::kLeakyRelu:
      for (int64_t i = 0; i < n; ++i) {
        values[i] = values[i] < 0 ? S(kLeak) * values[i] : values[i];
      }
      return;
    case Activation::kSilu:
      for (int64_t i = 0; i < n; ++i) values[i] *= Sigmoid(values[i]);
      return;
    case Activation::kSigmoid:
      for (int64_t i = 0; i < n; ++i) values[i] = Sigmoid(values[i]);
      return;
    case Activation::kTanh:
      for (int64_t i = 0; i < n; ++i) values[i] = Tanh(values[i]);
      return;
    case Activation::kGelu:
      for (int64_t i = 0; i < n; ++i) values[i] *= NormalShare(values[i]);
      return;
    case Activation::kGeluTanh:
      for (int64_t i = 0; i < n; ++i) {
        values[i] *= Sigmoid(TanhGeluArgument(values[i]));
      }
      return;
  }
}

// gradients[i] <- dy[i] f'(values[i]).
template <class S>
inline void Deactivate(Activation function, const S* values, const S* dy,
                       S* gradients, int64_t n) {
  switch (function) {
    case Activation::kIdentity:
      for (int64_t i = 0; i < n; ++i) gradients[i] = dy[i];
      return;
    case Activation::kRelu:
      for (int64_t i = 0; i < n; ++i) gradients[i] = values[i] > 0 ? dy[i] : 0;
      return;
    case Activation::kLeakyRelu:
      for (int64_t i = 0; i < n; ++i) {
        gradients[i] = values[i] > 0 ? dy[i] : S(kLeak) * dy[i];
      }
      return;
    case Activation::kSilu:
      for (int64_t i = 0; i < n; ++i) {
        const S z = values[i];
        gradients[i] = dy[i] * (Sigmoid(z) + z * SigmoidSlope(z));
      }
      return;
    case Activation::kSigmoid:
      for (int64_t i = 0; i < n; ++i) {
        gradients[i] = dy[i] * SigmoidSlope(values[i]);
      }
      return;
    case Activation::kTanh:
      for (int64_t i = 0; i < n; ++i) {
        gradients[i] = dy[i] * 4 * SigmoidSlope(2 * values[i]);
      }
      return;
    case Activation::kGelu:
      for (int64_t i = 0; i < n; ++i) {
        const S z = values[i];
        gradients[i] = dy[i] * (NormalShare(z) + z * NormalDensity(z));
      }
      return;
    case Activation::kGeluTanh:
      for (int64_t i = 0; i < n; ++i) {
        gradients[i] = dy[i] * TanhGeluSlope(values[i]);
      }
      return;
  }
}

}  // namespace

#endif  // KERAS_NORMS_CPU_ACTIVATIONS_H_
