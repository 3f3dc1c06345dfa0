// What the kernels for CPUs and those for GPUs have in common of activations.
// It includes nothing: NVRTC has no standard library.

#ifndef KERAS_NORMS_CPU_ACTIVATION_H_
#define KERAS_NORMS_CPU_ACTIVATION_H_

namespace keras_norms {

// In the order of the names in ../tensorflow/attributes.h.
enum class Activation {
  kIdentity,
  kRelu,
  kSilu,
  kGelu,
  kGeluTanh,
  kLeakyRelu,
  kSigmoid,
  kTanh,
};

constexpr double kLeak = 0.2;  // as in Keras

// erfc(u) exp(u u) for t = 1 / (1 + 0.325 u) and u of 0 or more, of one float
// or of a vector.
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

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_ACTIVATION_H_
