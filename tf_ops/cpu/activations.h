// The formulas of activations, of one number or of a vector.
//
// float32 is approximated by polynomials (within 6e-7 of exact, relative to
// the larger of 1 and the argument); float64 is the C library's.

#ifndef KERAS_NORMS_CPU_ACTIVATIONS_H_
#define KERAS_NORMS_CPU_ACTIVATIONS_H_

#include <cmath>
#include <cstdint>

#include "../contract/activation_formulas.h"
#include "kernels.h"
#include "vectors.h"

namespace {

using keras_norms::Activation;

// exp of 0 or less.
template <class V>
inline V ExpDown(V x) {
  if constexpr (Kinds<V>::kDouble) {
    return EachLane(x, [](double lane, int64_t) { return std::exp(lane); });
  } else {
    const auto least = x < -87.3f;
    x = Clamp(x, -87.3f, 0.0f);
    // The sum's last digits are the nearest integer.
    const V magic = x * 1.44269504f + 12582912.0f;
    const V integer = magic - 12582912.0f;
    const V r = (x - integer * 0.693359375f) + integer * 2.12194440e-4f;
    V p = r * 1.39336521e-3f + 8.36318173e-3f;
    p = p * r + 4.16664667e-2f;
    p = p * r + 1.66665763e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    return least ? V() : p * Same<V>((Same<Bits<V>>(magic) + 127) << 23);
  }
}

template <class V>
inline V Magnitude(V x) {
  return x < 0 ? -x : x;
}

// What the formulas take from this machine.
struct CpuMath {
  template <class V>
  using Scalar = ::Scalar<V>;

  template <class V>
  static V Sigmoid(V x) {
    const V e = ExpDown(-Magnitude(x));
    return (x < 0 ? e : Scalar<V>(1)) / (1 + e);
  }

  template <class V>
  static V SigmoidSlope(V x) {
    const V e = ExpDown(-Magnitude(x));
    return e / ((1 + e) * (1 + e));
  }

  template <class V>
  static V Tanh(V x) {
    if constexpr (Kinds<V>::kDouble) {
      return EachLane(x, [](double lane, int64_t) { return std::tanh(lane); });
    } else {
      const V size = Magnitude(x);
      const V e = ExpDown(-2 * size);
      const V large = (1 - e) / (1 + e);
      const V w = x * x;
      V p = w * -6.10494800e-3f + 2.10036412e-2f;
      p = p * w - 5.38524985e-2f;
      p = p * w + 1.33327827e-1f;
      p = p * w - 3.33333284e-1f;
      const V small = x + x * w * p;
      return size < 0.625f ? small : (x < 0 ? -large : large);
    }
  }

  template <class V>
  static V NormalShare(V x) {
    if constexpr (Kinds<V>::kDouble) {
      return EachLane(x, [](double lane, int64_t) {
        return 0.5 * std::erfc(-lane * 0.70710678118654752440);
      });
    } else {
      const V u = Magnitude(x) * 0.707106781f;
      const V t = 1 / (1 + 0.325f * u);
      const V tail = 0.5f * NormalTail(t) * ExpDown(-u * u);
      return x < 0 ? tail : 1 - tail;
    }
  }

  template <class V>
  static V NormalDensity(V x) {
    using S = Scalar<V>;
    return S(0.39894228040143267794) * ExpDown(S(-0.5) * x * x);
  }
};

// One activation, known when it is compiled.
template <class Formula>
struct Fixed {
  template <class V>
  V operator()(V z) const {
    return Formula::template Value<CpuMath>(z);
  }
  template <class V>
  V Gradient(V z, V dy) const {
    return Formula::template Gradient<CpuMath>(z, dy);
  }
};

// Any activation, told apart for each vector: less than what it takes itself,
// and one copy of the loops for all of them.
struct Any {
  Activation function;

  template <class V>
  __attribute__((noinline)) V operator()(V z) const {
    switch (function) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return formulas::Formula::Value<CpuMath>(z);
#include "../contract/activations.def"
    }
    return z;
  }

  template <class V>
  __attribute__((noinline)) V Gradient(V z, V dy) const {
    switch (function) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return formulas::Formula::Gradient<CpuMath>(z, dy);
#include "../contract/activations.def"
    }
    return dy;
  }
};

// use(f) with f a type for the function.
template <class F>
inline void WithFunction(Activation function, const F& use) {
  if (function == Activation::kIdentity) {
    return use(Fixed<formulas::Identity>());
  }
  if (function == Activation::kRelu) return use(Fixed<formulas::Relu>());
  use(Any{function});
}

}  // namespace

#endif  // KERAS_NORMS_CPU_ACTIVATIONS_H_
