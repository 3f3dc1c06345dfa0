// Numbers of every type, how close results must be, and the activations as
// they are defined.

#ifndef KERAS_NORMS_TEST_ORACLES_H_
#define KERAS_NORMS_TEST_ORACLES_H_

#include <algorithm>
#include <cmath>

#include "../cpu/kernels.h"
#include "../cpu/vectors.h"

namespace kn = keras_norms;

namespace {

template <class T>
double Value(T x) {
  return Load<float>(&x);
}
double Value(float x) { return x; }
inline double Value(double x) { return x; }

template <class T>
T Of(double x) {
  T stored;
  Store(static_cast<float>(x), &stored);
  return stored;
}
template <>
float Of<float>(double x) {
  return static_cast<float>(x);
}
template <>
inline double Of<double>(double x) {
  return x;
}

template <class T>
struct Kind;
template <>
struct Kind<float> {
  using Table = float;
  static constexpr kn::Type type = kn::Type::kFloat;
  static constexpr double close = 2e-6, narrow = 1e-6;
};
template <>
struct Kind<double> {
  using Table = double;
  static constexpr kn::Type type = kn::Type::kDouble;
  static constexpr double close = 1e-13, narrow = 1e-13;
};
template <>
struct Kind<Half> {
  using Table = float;
  static constexpr kn::Type type = kn::Type::kHalf;
  static constexpr double close = 2e-6, narrow = 6e-4;
};
template <>
struct Kind<Bfloat16> {
  using Table = float;
  static constexpr kn::Type type = kn::Type::kBfloat16;
  static constexpr double close = 2e-6, narrow = 5e-3;
};

double Function(kn::Activation function, double z) {
  switch (function) {
    case kn::Activation::kIdentity:
      return z;
    case kn::Activation::kRelu:
      return std::max(z, 0.0);
    case kn::Activation::kLeakyRelu:
      return z < 0 ? 0.2 * z : z;
    case kn::Activation::kSilu:
      return z / (1 + std::exp(-z));
    case kn::Activation::kSigmoid:
      return 1 / (1 + std::exp(-z));
    case kn::Activation::kTanh:
      return std::tanh(z);
    case kn::Activation::kGelu:
      return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    case kn::Activation::kGeluTanh:
      return 0.5 * z *
             (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
  }
  return 0;
}

double Slope(kn::Activation function, double z) {
  if (function == kn::Activation::kIdentity) return 1;
  if (function == kn::Activation::kRelu) return z > 0;
  if (function == kn::Activation::kLeakyRelu) return z > 0 ? 1 : 0.2;
  const double h = 1e-5;
  return (Function(function, z + h) - Function(function, z - h)) / (2 * h);
}

}  // namespace

#endif  // KERAS_NORMS_TEST_ORACLES_H_
