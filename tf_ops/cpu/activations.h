// Activations and their derivatives, of one number or of a vector.
//
// float32 is approximated by polynomials (within 6e-7 of exact, relative to
// the larger of 1 and the argument); float64 is the C library's.

#ifndef KERAS_NORMS_CPU_ACTIVATIONS_H_
#define KERAS_NORMS_CPU_ACTIVATIONS_H_

#include <cmath>
#include <cstdint>

#include "kernels.h"
#include "vectors.h"

namespace {

using keras_norms::Activation;

template <class V>
inline V Clamp(V value, Scalar<V> low, Scalar<V> high) {
  // This way around, what is not a number stays so.
  value = value < low ? low : value;
  return value > high ? high : value;
}

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

template <class V>
inline V Sigmoid(V x) {
  const V e = ExpDown(-Magnitude(x));
  return (x < 0 ? e : Scalar<V>(1)) / (1 + e);
}

template <class V>
inline V SigmoidSlope(V x) {
  const V e = ExpDown(-Magnitude(x));
  return e / ((1 + e) * (1 + e));
}

template <class V>
inline V Tanh(V x) {
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

// The share of a standard normal distribution that is below x.
template <class V>
inline V NormalShare(V x) {
  if constexpr (Kinds<V>::kDouble) {
    return EachLane(x, [](double lane, int64_t) {
      return 0.5 * std::erfc(-lane * 0.70710678118654752440);
    });
  } else {
    const V u = Magnitude(x) * 0.707106781f;
    const V t = 1 / (1 + 0.325f * u);
    const V tail = 0.5f * keras_norms::NormalTail(t) * ExpDown(-u * u);
    return x < 0 ? tail : 1 - tail;
  }
}

template <class V>
inline V NormalDensity(V x) {
  using S = Scalar<V>;
  return S(0.39894228040143267794) * ExpDown(S(-0.5) * x * x);
}

template <class V>
inline V TanhGeluArgument(V x) {
  using S = Scalar<V>;
  return S(1.59576912160573071176) * (x + S(0.044715) * x * x * x);
}

template <class V>
inline V TanhGeluSlope(V x) {
  using S = Scalar<V>;
  // Beyond, it is 0 or 1, and cubes may overflow.
  const V z = Clamp(x, S(-30), S(30));
  const V argument = TanhGeluArgument(z);
  const V inner = S(1.59576912160573071176) * (1 + S(0.134145) * z * z);
  return Sigmoid(argument) + z * inner * SigmoidSlope(argument);
}

struct Identity {
  template <class V>
  V operator()(V z) const {
    return z;
  }
  template <class V>
  V Gradient(V, V dy) const {
    return dy;
  }
};

struct Relu {
  template <class V>
  V operator()(V z) const {
    return z < 0 ? V() : z;
  }
  template <class V>
  V Gradient(V z, V dy) const {
    return z > 0 ? dy : V();
  }
};

// Any other, told apart for each vector: less than what it takes itself, and
// one copy of the loops for all of them.
struct Other {
  Activation function;

  template <class V>
  __attribute__((noinline)) V operator()(V z) const {
    switch (function) {
      case Activation::kSilu:
        return z * Sigmoid(z);
      case Activation::kSigmoid:
        return Sigmoid(z);
      case Activation::kTanh:
        return Tanh(z);
      case Activation::kGelu:
        return z * NormalShare(z);
      case Activation::kGeluTanh:
        return z * Sigmoid(TanhGeluArgument(z));
      default:
        return z < 0 ? Leak<V>() * z : z;
    }
  }

  template <class V>
  __attribute__((noinline)) V Gradient(V z, V dy) const {
    switch (function) {
      case Activation::kSilu:
        return dy * (Sigmoid(z) + z * SigmoidSlope(z));
      case Activation::kSigmoid:
        return dy * SigmoidSlope(z);
      case Activation::kTanh:
        return dy * 4 * SigmoidSlope(2 * z);
      case Activation::kGelu:
        return dy * (NormalShare(z) + z * NormalDensity(z));
      case Activation::kGeluTanh:
        return dy * TanhGeluSlope(z);
      default:
        return z > 0 ? dy : Leak<V>() * dy;
    }
  }

 private:
  template <class V>
  static constexpr Scalar<V> Leak() {
    return Scalar<V>(keras_norms::kLeak);
  }
};

// use(f) with f a type for the function.
template <class F>
inline void WithFunction(Activation function, const F& use) {
  if (function == Activation::kIdentity) return use(Identity());
  if (function == Activation::kRelu) return use(Relu());
  use(Other{function});
}

}  // namespace

#endif  // KERAS_NORMS_CPU_ACTIVATIONS_H_
