// Activations and their derivatives: as ../cpu/activations.h has them, for one
// float, with a GPU's own exp and division (errors below 1e-6 of the larger of
// 1 and the argument).

#ifndef KERAS_NORMS_CUDA_ACTIVATIONS_H_
#define KERAS_NORMS_CUDA_ACTIVATIONS_H_

#include "../cpu/activation.h"
#include "device.h"

namespace {

using keras_norms::Activation;

constexpr float kLeak = float(keras_norms::kLeak);

// 1 / (1 + exp(-x)), and its derivative.
struct Logistic {
  float share;
  float slope;

  explicit KERAS_NORMS_DEVICE Logistic(float x) {
    const float e = Exponential(-fabsf(x));
    const float r = Over(1.0f, 1.0f + e);
    share = x < 0 ? e * r : r;
    slope = e * r * r;
  }
};

// The share of a standard normal distribution that is below x, and its
// density there.
struct Normal {
  float share;
  float density;

  explicit KERAS_NORMS_DEVICE Normal(float x) {
    const float u = fabsf(x) * 0.707106781f;
    const float t = Over(1.0f, 1.0f + 0.325f * u);
    const float e = Exponential(-u * u);
    const float tail = 0.5f * keras_norms::NormalTail(t) * e;
    share = x < 0 ? tail : 1.0f - tail;
    density = 0.398942280f * e;
  }
};

KERAS_NORMS_DEVICE float TanhGeluArgument(float x) {
  return 1.59576912f * (x + 0.044715f * x * x * x);
}

KERAS_NORMS_DEVICE float TanhGeluSlope(float x) {
  // Beyond, it is 0 or 1, and cubes may overflow. What is no number stays so.
  const float low = x < -30.0f ? -30.0f : x;
  const float z = low > 30.0f ? 30.0f : low;
  const Logistic of(TanhGeluArgument(z));
  return of.share + z * 1.59576912f * (1.0f + 0.134145f * z * z) * of.slope;
}

// Of V numbers at once: z becomes f(z), dy becomes dy f'(z).
struct Identity {
  explicit KERAS_NORMS_DEVICE Identity(int) {}
  template <int V>
  KERAS_NORMS_DEVICE void Values(float (&)[V]) const {}
  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&)[V], float (&)[V]) const {}
};

// Any, told apart for each V: all threads go the same way.
struct Any {
  Activation function;

  explicit KERAS_NORMS_DEVICE Any(int function)
      : function(static_cast<Activation>(function)) {}

  template <int V>
  KERAS_NORMS_DEVICE void Values(float (&z)[V]) const {
    switch (function) {
      case Activation::kIdentity:
        return;
      case Activation::kRelu:
        return Each(z, [](float z) { return z < 0 ? 0.0f : z; });
      case Activation::kSilu:
        return Each(z, [](float z) { return z * Logistic(z).share; });
      case Activation::kGelu:
        return Each(z, [](float z) { return z * Normal(z).share; });
      case Activation::kGeluTanh:
        return Each(
            z, [](float z) { return z * Logistic(TanhGeluArgument(z)).share; });
      case Activation::kLeakyRelu:
        return Each(z, [](float z) { return z < 0 ? kLeak * z : z; });
      case Activation::kSigmoid:
        return Each(z, [](float z) { return Logistic(z).share; });
      case Activation::kTanh:
        return Each(z, [](float z) { return tanhf(z); });
    }
  }

  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&z)[V], float (&dy)[V]) const {
    switch (function) {
      case Activation::kIdentity:
        return;
      case Activation::kRelu:
        return Each(z, dy, [](float z, float dy) { return z > 0 ? dy : 0.0f; });
      case Activation::kSilu:
        return Each(z, dy, [](float z, float dy) {
          const Logistic of(z);
          return dy * (of.share + z * of.slope);
        });
      case Activation::kGelu:
        return Each(z, dy, [](float z, float dy) {
          const Normal of(z);
          return dy * (of.share + z * of.density);
        });
      case Activation::kGeluTanh:
        return Each(z, dy,
                    [](float z, float dy) { return dy * TanhGeluSlope(z); });
      case Activation::kLeakyRelu:
        return Each(z, dy,
                    [](float z, float dy) { return z > 0 ? dy : kLeak * dy; });
      case Activation::kSigmoid:
        return Each(z, dy,
                    [](float z, float dy) { return dy * Logistic(z).slope; });
      case Activation::kTanh:
        return Each(z, dy, [](float z, float dy) {
          return dy * 4.0f * Logistic(2.0f * z).slope;
        });
    }
  }

 private:
  template <int V, class F>
  static KERAS_NORMS_DEVICE void Each(float (&z)[V], const F& f) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = f(z[j]);
  }
  template <int V, class F>
  static KERAS_NORMS_DEVICE void Each(const float (&z)[V], float (&dy)[V],
                                      const F& f) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) dy[j] = f(z[j], dy[j]);
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_ACTIVATIONS_H_
