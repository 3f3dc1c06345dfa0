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

  KERAS_NORMS_DEVICE Line() {}

  KERAS_NORMS_DEVICE Line(const Geometry& g, const keras_norms::LineTask& line,
                          const Course& course) {
    if (course.steps <= 0) return;
    Entries(g, line, course, line.center, center);
    Entries(g, line, course, line.scale, scale);
    Entries(g, line, course, line.shift, shift);
    if (line.group_size != 0) OfGroups(g, line, course);
  }

  // From groups' means, inverses and residuals, in place of the coefficients.
  KERAS_NORMS_DEVICE void OfGroups(const Geometry& g,
                                   const keras_norms::LineTask& line,
                                   const Course& course) {
    float gamma[V], beta[V];
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      gamma[j] = 1.0f;
      beta[j] = 0.0f;
    }
    if (line.gamma != nullptr) Channels(g, line.gamma + course.channel, gamma);
    if (line.beta != nullptr) Channels(g, line.beta + course.channel, beta);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      scale[j] *= gamma[j];
      shift[j] = beta[j] - shift[j] * scale[j];
    }
  }

  // Of a table with an entry for each channel of a row, or for each group.
  static KERAS_NORMS_DEVICE void Entries(const Geometry& g,
                                         const keras_norms::LineTask& line,
                                         const Course& course,
                                         const float* table, float (&to)[V]) {
    const int size = line.group_size;
    if (size == 0) {
      return Channels(g, table + course.row * g.channels + course.channel, to);
    }
    table += course.row * (g.channels / size);
    if (!g.last || size % V == 0) return All(table[course.channel / size], to);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) to[j] = table[(course.channel + j) / size];
  }

 private:
  static KERAS_NORMS_DEVICE void All(float value, float (&to)[V]) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) to[j] = value;
  }

  // Of a column's channels, from its first.
  static KERAS_NORMS_DEVICE void Channels(const Geometry& g, const float* first,
                                          float (&to)[V]) {
    if (!g.last) return All(*first, to);
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
