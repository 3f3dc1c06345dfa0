// The formulas of activations for one float, with a GPU's own exp and division
// (errors below 1e-6 of the larger of 1 and the argument).

#ifndef KERAS_NORMS_CUDA_ACTIVATIONS_H_
#define KERAS_NORMS_CUDA_ACTIVATIONS_H_

#include "../contract/activation_formulas.h"
#include "../contract/activations.h"
#include "device.h"

namespace {

using keras_norms::Activation;

// The functions that the formulas need. The compiler computes an exponential
// once where two of them take the same argument.
struct GpuMath {
  template <class V>
  using Scalar = V;

  static KERAS_NORMS_DEVICE float Sigmoid(float x) {
    const float e = FastExp(-fabsf(x));
    const float r = FastDivide(1.0f, 1.0f + e);
    return x < 0 ? e * r : r;
  }

  static KERAS_NORMS_DEVICE float SigmoidSlope(float x) {
    const float e = FastExp(-fabsf(x));
    const float r = FastDivide(1.0f, 1.0f + e);
    return e * r * r;
  }

  static KERAS_NORMS_DEVICE float Tanh(float x) { return tanhf(x); }

  static KERAS_NORMS_DEVICE float NormalShare(float x) {
    const float u = fabsf(x) * 0.707106781f;
    const float t = FastDivide(1.0f, 1.0f + 0.325f * u);
    const float tail = 0.5f * NormalTail(t) * FastExp(-u * u);
    return x < 0 ? tail : 1.0f - tail;
  }

  static KERAS_NORMS_DEVICE float NormalDensity(float x) {
    const float u = fabsf(x) * 0.707106781f;
    return 0.398942280f * FastExp(-u * u);
  }
};

// Apply an activation to V elements: Values replaces z by f(z), and Gradients
// replaces dy by dy f'(z).
struct Identity {
  explicit KERAS_NORMS_DEVICE Identity(int) {}
  template <int V>
  KERAS_NORMS_DEVICE void Values(float (&)[V]) const {}
  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&)[V], float (&)[V]) const {}
};

// One activation.
template <class Formula>
struct Only {
  explicit KERAS_NORMS_DEVICE Only(int) {}

  template <int V>
  KERAS_NORMS_DEVICE void Values(float (&z)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = Formula::template Value<GpuMath>(z[j]);
  }

  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&z)[V], float (&dy)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      dy[j] = Formula::template Gradient<GpuMath>(z[j], dy[j]);
    }
  }
};

// Any activation, by a switch for every V elements, which does not diverge: all
// threads take the same case.
struct Any {
  Activation activation;

  explicit KERAS_NORMS_DEVICE Any(int activation)
      : activation(static_cast<Activation>(activation)) {}

  template <int V>
  KERAS_NORMS_DEVICE void Values(float (&z)[V]) const {
    switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return Only<formulas::Formula>(0).Values(z);
#include "../contract/activations.def"
    }
  }

  template <int V>
  KERAS_NORMS_DEVICE void Gradients(const float (&z)[V], float (&dy)[V]) const {
    switch (activation) {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) \
  case Activation::k##Formula:                     \
    return Only<formulas::Formula>(0).Gradients(z, dy);
#include "../contract/activations.def"
    }
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_ACTIVATIONS_H_
