// The formulas of activations, for one element or for a vector.
//
// float32 uses polynomials, whose error is at most 6e-7 relative to the larger
// of 1 and the argument. float64 uses the C library.

#ifndef KERAS_NORMS_CPU_ACTIVATIONS_H_
#define KERAS_NORMS_CPU_ACTIVATIONS_H_

#include <cmath>
#include <cstdint>

#include "../contract/activation_formulas.h"
#include "kernels.h"
#include "vectors.h"

namespace {

using keras_norms::Activation;

// exp(x) for x <= 0.
template <class V>
inline V ExpDown(V x) {
  if constexpr (VectorTraits<V>::kDouble) {
    return ForEachLane(x, [](double lane, int64_t) { return std::exp(lane); });
  } else {
    const auto underflows = x < -87.3f;
    x = Clamp(x, -87.3f, 0.0f);
    // The last bits of the sum are the nearest integer.
    const V magic = x * 1.44269504f + 12582912.0f;
    const V integer = magic - 12582912.0f;
    const V r = (x - integer * 0.693359375f) + integer * 2.12194440e-4f;
    V p = r * 1.39336521e-3f + 8.36318173e-3f;
    p = p * r + 4.16664667e-2f;
    p = p * r + 1.66665763e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    return underflows ? V()
                      : p * BitCast<V>((BitCast<Bits<V>>(magic) + 127) << 23);
  }
}

template <class V>
inline V Magnitude(V x) {
  return x < 0 ? -x : x;
}

// The functions that the formulas need.
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
    if constexpr (VectorTraits<V>::kDouble) {
      return ForEachLane(x,
                         [](double lane, int64_t) { return std::tanh(lane); });
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
    if constexpr (VectorTraits<V>::kDouble) {
      return ForEachLane(x, [](double lane, int64_t) {
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

// One activation, chosen at compile time.
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

// Any activation, by a switch for each vector. The switch costs less than the
// activation, and all of them share one copy of the loops.
struct Any {
  Activation activation;

  template <class V>
  __attribute__((noinline)) V operator()(V z) const {
    switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return formulas::Formula::Value<CpuMath>(z);
#include "../contract/activations.def"
    }
    return z;
  }

  template <class V>
  __attribute__((noinline)) V Gradient(V z, V dy) const {
    switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return formulas::Formula::Gradient<CpuMath>(z, dy);
#include "../contract/activations.def"
    }
    return dy;
  }
};

// Calls use(f) with a type for the activation.
template <class F>
inline void WithActivation(Activation activation, const F& use) {
  if (activation == Activation::kIdentity) {
    return use(Fixed<formulas::Identity>());
  }
  if (activation == Activation::kRelu) return use(Fixed<formulas::Relu>());
  use(Any{activation});
}

}  // namespace

#endif  // KERAS_NORMS_CPU_ACTIVATIONS_H_
