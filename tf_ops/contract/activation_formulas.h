// The formula of each activation and of its gradient, once for the kernels for
// CPUs and for those for GPUs.
//
// V is float, or, on CPUs, also double or a vector of either. Math supplies
// what each machine computes in its own way: `Scalar<V>`, the type of one
// element, and Sigmoid, SigmoidSlope (its derivative), Tanh, NormalShare and
// NormalDensity (the standard normal distribution and its density).
//
// Everything has internal linkage: the kernels for CPUs are compiled once for
// each instruction set, and a linker keeps only one copy of a shared template.

#ifndef KERAS_NORMS_CONTRACT_ACTIVATION_FORMULAS_H_
#define KERAS_NORMS_CONTRACT_ACTIVATION_FORMULAS_H_

namespace {

// NaN stays NaN, because both comparisons are false for it.
template <class V, class S>
inline V Clamp(V value, S low, S high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// erfc(u) exp(u u) for t = 1 / (1 + 0.325 u) and u >= 0.
template <class V>
inline V NormalTail(V t) {
  V p = t * -1.58867553e-1f + 5.91336131e-1f;
  p = p * t - 5.75625718e-1f;
  p = p * t + 6.22862875e-1f;
  p = p * t - 7.83940107e-2f;
  p = p * t + 2.43785068e-1f;
  p = p * t + 1.70207381e-1f;
  p = p * t + 1.84760094e-1f;
  return p * t - 6.42806990e-5f;
}

namespace formulas {

// Value(z) is f(z), and Gradient(z, dy) is dy f'(z).
struct Identity {
  template <class Math, class V>
  static inline V Value(V z) {
    return z;
  }
  template <class Math, class V>
  static inline V Gradient(V, V dy) {
    return dy;
  }
};

struct Relu {
  template <class Math, class V>
  static inline V Value(V z) {
    return z < 0 ? V() : z;
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    return z > 0 ? dy : V();
  }
};

struct Silu {
  template <class Math, class V>
  static inline V Value(V z) {
    return z * Math::Sigmoid(z);
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    return dy * (Math::Sigmoid(z) + z * Math::SigmoidSlope(z));
  }
};

struct Gelu {
  template <class Math, class V>
  static inline V Value(V z) {
    return z * Math::NormalShare(z);
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    return dy * (Math::NormalShare(z) + z * Math::NormalDensity(z));
  }
};

struct GeluTanh {
  template <class Math, class V>
  static inline V Argument(V z) {
    using S = typename Math::template Scalar<V>;
    return S(1.59576912160573071176) * (z + S(0.044715) * z * z * z);
  }
  template <class Math, class V>
  static inline V Value(V z) {
    return z * Math::Sigmoid(Argument<Math>(z));
  }
  template <class Math, class V>
  static inline V Gradient(V x, V dy) {
    using S = typename Math::template Scalar<V>;
    // The derivative is 0 or 1 beyond, where cubes may overflow.
    const V z = Clamp(x, S(-30), S(30));
    const V argument = Argument<Math>(z);
    const V inner = S(1.59576912160573071176) * (1 + S(0.134145) * z * z);
    return dy *
           (Math::Sigmoid(argument) + z * inner * Math::SigmoidSlope(argument));
  }
};

struct LeakyRelu {
  static constexpr double kSlope = 0.2;  // Keras's default

  template <class Math, class V>
  static inline V Value(V z) {
    using S = typename Math::template Scalar<V>;
    return z < 0 ? S(kSlope) * z : z;
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    using S = typename Math::template Scalar<V>;
    return z > 0 ? dy : S(kSlope) * dy;
  }
};

struct Sigmoid {
  template <class Math, class V>
  static inline V Value(V z) {
    return Math::Sigmoid(z);
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    return dy * Math::SigmoidSlope(z);
  }
};

struct Tanh {
  template <class Math, class V>
  static inline V Value(V z) {
    return Math::Tanh(z);
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    return dy * 4 * Math::SigmoidSlope(2 * z);
  }
};

struct Relu6 {
  template <class Math, class V>
  static inline V Value(V z) {
    using S = typename Math::template Scalar<V>;
    return Clamp(z, S(0), S(6));
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    const V below = z < 6 ? dy : V();
    return z > 0 ? below : V();
  }
};

struct HardSwish {
  template <class Math, class V>
  static inline V Value(V z) {
    using S = typename Math::template Scalar<V>;
    return z * (Clamp(z + 3, S(0), S(6)) / 6);
  }
  template <class Math, class V>
  static inline V Gradient(V z, V dy) {
    using S = typename Math::template Scalar<V>;
    const V below = z < 3 ? z : V();
    const V inner = z > -3 ? below : V();
    return dy * ((Clamp(z + 3, S(0), S(6)) + inner) / 6);
  }
};

}  // namespace formulas
}  // namespace

#endif  // KERAS_NORMS_CONTRACT_ACTIVATION_FORMULAS_H_
