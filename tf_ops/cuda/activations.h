// The formulas of activations for one float, with a GPU's own exp and division
// (errors below 1e-6 of the larger of 1 and the argument).

#ifndef KERAS_NORMS_CUDA_ACTIVATIONS_H_
#define KERAS_NORMS_CUDA_ACTIVATIONS_H_

#include "../contract/activation_formulas.h"
#include "../contract/activations.h"
#include "device.h"

namespace {

using keras_norms::Activation;

// What the formulas take from this machine. The compiler merges the
// exponentials of functions of the same argument.
struct GpuMath {
  template <class V>
  using Scalar = V;

  static KERAS_NORMS_DEVICE float Sigmoid(float x) {
    const float e = Exponential(-fabsf(x));
    const float r = Over(1.0f, 1.0f + e);
    return x < 0 ? e * r : r;
  }

  static KERAS_NORMS_DEVICE float SigmoidSlope(float x) {
    const float e = Exponential(-fabsf(x));
    const float r = Over(1.0f, 1.0f + e);
    return e * r * r;
  }

  static KERAS_NORMS_DEVICE float Tanh(float x) { return tanhf(x); }

  static KERAS_NORMS_DEVICE float NormalShare(float x) {
    const float u = fabsf(x) * 0.707106781f;
    const float t = Over(1.0f, 1.0f + 0.325f * u);
    const float tail = 0.5f * NormalTail(t) * Exponential(-u * u);
    return x < 0 ? tail : 1.0f - tail;
  }

  static KERAS_NORMS_DEVICE float NormalDensity(float x) {
    const float u = fabsf(x) * 0.707106781f;
    return 0.398942280f * Exponential(-u * u);
  }
};

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
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return ValuesOf<formulas::Formula>(z);
#include "../contract/activations.def"
    }
  }

  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&z)[V], float (&dy)[V]) const {
    switch (function) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return GradientsOf<formulas::Formula>(z, dy);
#include "../contract/activations.def"
    }
  }

 private:
  template <class Formula, int V>
  static KERAS_NORMS_DEVICE void ValuesOf(float (&z)[V]) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = Formula::template Value<GpuMath>(z[j]);
  }
  template <class Formula, int V>
  static KERAS_NORMS_DEVICE void GradientsOf(const float (&z)[V],
                                             float (&dy)[V]) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      dy[j] = Formula::template Gradient<GpuMath>(z[j], dy[j]);
    }
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_ACTIVATIONS_H_
