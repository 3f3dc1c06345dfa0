// Conversions of every type to double, tolerances, and the definitions of
// activations.

#ifndef KERAS_NORMS_TEST_ORACLES_H_
#define KERAS_NORMS_TEST_ORACLES_H_

#include <algorithm>
#include <cmath>

#include "../cpu/kernels.h"
#include "../cpu/vectors.h"

namespace kn = keras_norms;

namespace {

template <class T>
double ToDouble(T x) {
  return Load<float>(&x);
}
double ToDouble(float x) { return x; }
inline double ToDouble(double x) { return x; }

template <class T>
T FromDouble(double x) {
  T stored;
  Store(static_cast<float>(x), &stored);
  return stored;
}
template <>
float FromDouble<float>(double x) {
  return static_cast<float>(x);
}
template <>
inline double FromDouble<double>(double x) {
  return x;
}

template <class T>
struct TypeTraits;
template <>
struct TypeTraits<float> {
  using Statistic = float;
  static constexpr kn::Type type = kn::Type::kFloat;
  static constexpr double close = 2e-6, narrow = 1e-6;
};
template <>
struct TypeTraits<double> {
  using Statistic = double;
  static constexpr kn::Type type = kn::Type::kDouble;
  static constexpr double close = 1e-13, narrow = 1e-13;
};
template <>
struct TypeTraits<Half> {
  using Statistic = float;
  static constexpr kn::Type type = kn::Type::kHalf;
  static constexpr double close = 2e-6, narrow = 6e-4;
};
template <>
struct TypeTraits<Bfloat16> {
  using Statistic = float;
  static constexpr kn::Type type = kn::Type::kBfloat16;
  static constexpr double close = 2e-6, narrow = 5e-3;
};

// The definitions of ../contract/activations.def.
using std::erfc;
using std::exp;
using std::fmax;
using std::fmin;
using std::tanh;

double Activate(kn::Activation activation, double z) {
  switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, definition, derivative) \
  case kn::Activation::k##Formula:                                    \
    return definition;
#include "../contract/activations.def"
  }
  return 0;
}

double Derivative(kn::Activation activation, double z) {
  switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, definition, derivative) \
  case kn::Activation::k##Formula:                                    \
    return derivative;
#include "../contract/activations.def"
  }
  return 0;
}

constexpr int kActivations = 0
#define KERAS_NORMS_ACTIVATION(...) +1
#include "../contract/activations.def"
    ;

}  // namespace

#endif  // KERAS_NORMS_TEST_ORACLES_H_
