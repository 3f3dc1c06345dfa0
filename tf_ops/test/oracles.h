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

// The definitions of ../contract/activations.def.
using std::erfc;
using std::exp;
using std::fmax;
using std::fmin;
using std::tanh;

double Function(kn::Activation function, double z) {
  switch (function) {
#define KERAS_NORMS_ACTIVATION(name, Formula, definition, derivative) \
  case kn::Activation::k##Formula:                                    \
    return definition;
#include "../contract/activations.def"
  }
  return 0;
}

double Slope(kn::Activation function, double z) {
  switch (function) {
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
