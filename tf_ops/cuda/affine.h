// z = (x - center) scale + shift, with the parameters of one column.

#ifndef KERAS_NORMS_CUDA_AFFINE_H_
#define KERAS_NORMS_CUDA_AFFINE_H_

#include "activations.h"
#include "tasks.h"
#include "thread_map.h"

namespace {

using keras_norms::AffinePointers;
using keras_norms::Divisor;

// The parameters of the column of a thread, in registers.
template <int V>
struct AffineParams {
  float center[V], scale[V], shift[V];

  KERAS_NORMS_DEVICE AffineParams() {}

  KERAS_NORMS_DEVICE AffineParams(const Geometry& g, const AffinePointers& from,
                                  const ThreadMap& map) {
    if (map.steps <= 0) return;
    Load(g, from, map, from.center, center);
    Load(g, from, map, from.scale, scale);
    Load(g, from, map, from.shift, shift);
    if (from.group_size != 0) ApplyGammaBeta(g, from, map);
  }

  // Turns the mean, rstd and residual of groups into center, scale and shift.
  KERAS_NORMS_DEVICE void ApplyGammaBeta(const Geometry& g,
                                         const AffinePointers& from,
                                         const ThreadMap& map) {
    float gamma[V], beta[V];
    Fill(1.0f, gamma);
    Fill(0.0f, beta);
    if (from.gamma != nullptr) LoadChannels(g, from.gamma + map.channel, gamma);
    if (from.beta != nullptr) LoadChannels(g, from.beta + map.channel, beta);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      scale[j] *= gamma[j];
      shift[j] = beta[j] - shift[j] * scale[j];
    }
  }

  // Loads a column from [rows, channels], or from [rows, groups].
  static KERAS_NORMS_DEVICE void Load(const Geometry& g,
                                      const AffinePointers& from,
                                      const ThreadMap& map,
                                      const float* statistics, float (&to)[V]) {
    const Divisor& size = from.group_size;
    if (size == 0) {
      return LoadChannels(g, statistics + map.row * g.channels + map.channel,
                          to);
    }
    statistics += map.row * (g.channels / size);
    if (!g.channels_last || size % V == 0) {
      return Fill(statistics[map.channel / size], to);
    }
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) to[j] = statistics[(map.channel + j) / size];
  }

 private:
  static KERAS_NORMS_DEVICE void Fill(float value, float (&to)[V]) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) to[j] = value;
  }

  // Loads the channels of a column, in accesses of 16 bytes if `first` is
  // aligned to them.
  static KERAS_NORMS_DEVICE void LoadChannels(const Geometry& g,
                                              const float* first,
                                              float (&to)[V]) {
    if (!g.channels_last) return Fill(*first, to);
    if constexpr (V > 1) {
      if (Aligned(first)) {
        KERAS_NORMS_UNROLL
        for (int j = 0; j < V; j += 4) {
          Pack<Float, 4> pack;
          pack.Load(first, j);
          KERAS_NORMS_UNROLL
          for (int i = 0; i < 4; ++i) to[j + i] = pack.Get(i);
        }
        return;
      }
    }
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) to[j] = first[j];
  }

 public:
  // Computes x - center. Non-finite values at masked positions are read as 0.
  template <class T>
  KERAS_NORMS_DEVICE void Center(const Pack<T, V>& x, bool valid,
                                 float (&centered)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      float value = x.Get(j);
      if (!valid && value - value != 0.0f) value = 0.0f;
      centered[j] = value - center[j];
    }
  }

  KERAS_NORMS_DEVICE void Apply(const float (&centered)[V],
                                float (&z)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = centered[j] * scale[j] + shift[j];
  }

  // Computes g = dy f'(z).
  template <class F, class T>
  KERAS_NORMS_DEVICE void Gradient(const F& f, const float (&centered)[V],
                                   const Pack<T, V>& dy, float (&g)[V]) const {
    float z[V];
    Apply(centered, z);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) g[j] = dy.Get(j);
    f.Gradients(z, g);
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_AFFINE_H_
