// z = (x - center) scale + shift, with the coefficients of a column.

#ifndef KERAS_NORMS_CUDA_LINE_H_
#define KERAS_NORMS_CUDA_LINE_H_

#include "activations.h"
#include "course.h"
#include "tasks.h"

namespace {

// The coefficients of a thread's column.
template <int V>
struct Line {
  float center[V], scale[V], shift[V];

  KERAS_NORMS_DEVICE Line(const Geometry& g, const keras_norms::LineTask& line,
                          const Course& course) {
    if (course.steps <= 0) return;
    Entries(g, line, course, line.center, center);
    Entries(g, line, course, line.scale, scale);
    Entries(g, line, course, line.shift, shift);
    if (line.group_size == 0) return;
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const int c = course.channel + (g.last ? j : 0);
      Set(j, line, c, center[j], scale[j], shift[j]);
    }
  }

  // Of a table with an entry for each channel of a row, or for each group.
  static KERAS_NORMS_DEVICE void Entries(const Geometry& g,
                                         const keras_norms::LineTask& line,
                                         const Course& course,
                                         const float* table, float (&to)[V]) {
    const bool whole = line.group_size == 0;
    const int size = whole ? 1 : line.group_size;
    table += course.row * (g.channels / size);
    if constexpr (V > 1) {
      const float* const first = table + course.channel;
      if (whole && g.last && Aligned(first)) {
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
    for (int j = 0; j < V; ++j) {
      to[j] = table[(course.channel + (g.last ? j : 0)) / size];
    }
  }

  KERAS_NORMS_DEVICE Line() {}

  // From a group's mean, inverse and residual.
  KERAS_NORMS_DEVICE void Set(int j, const keras_norms::LineTask& line,
                              int channel, float c, float s, float h) {
    center[j] = c;
    scale[j] = s;
    if (line.gamma != nullptr) scale[j] *= line.gamma[channel];
    const float beta = line.beta == nullptr ? 0.0f : line.beta[channel];
    shift[j] = beta - h * scale[j];
  }

  // x - center. Where masks are false, of 0 if x is no number.
  template <class T>
  KERAS_NORMS_DEVICE void Apart(const Pack<T, V>& x, bool kept,
                                float (&apart)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      float found = x.Get(j);
      if (!kept && found - found != 0.0f) found = 0.0f;
      apart[j] = found - center[j];
    }
  }

  KERAS_NORMS_DEVICE void Values(const float (&apart)[V], float (&z)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = apart[j] * scale[j] + shift[j];
  }

  // g = dy f'(z).
  template <class F, class T>
  KERAS_NORMS_DEVICE void Changes(const F& f, const float (&apart)[V],
                                  const Pack<T, V>& dy,
                                  float (&change)[V]) const {
    float z[V];
    Values(apart, z);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) change[j] = dy.Get(j);
    f.Gradients(z, change);
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_LINE_H_
