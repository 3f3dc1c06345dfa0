// The second pass, and the two passes of its gradient.

#ifndef KERAS_NORMS_CUDA_PASSES_H_
#define KERAS_NORMS_CUDA_PASSES_H_

#include "affine.h"
#include "column_sums.h"
#include "tasks.h"

namespace {

// A pass that follows another one takes the chunks in reverse order: the L2
// cache still holds the chunks that were read last.
KERAS_NORMS_DEVICE unsigned ReversedBlock() { return Blocks() - 1 - Block(); }

// Reads x and writes y: 1R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void Apply(const keras_norms::ApplyTask& task) {
  const Geometry& g = task.geometry;
  const ThreadMap map(g, ReversedBlock());
  const AffineParams<V> affine(g, task.affine, map);
  const Mask<V> mask = {task.mask};
  const F f(task.affine.activation);
  ForEachStep<kStepsPerBatch<T, V, 1>>(
      g, map, [&](auto steps, long long element, long long position) {
        constexpr int n = steps.value;
        Pack<T, V> x[n];
        bool valid[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          x[i].Load(task.x, element + i * map.step_stride);
          valid[i] = mask.IsValid(position + i * g.column_threads);
        }
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          float centered[V], z[V];
          affine.Center(x[i], valid[i], centered);
          affine.Apply(centered, z);
          f.Values(z);
          Pack<T, V>::Of(z).Store(task.y, element + i * map.step_stride);
        }
      });
}

// Calls use(element, centered, gradient, valid) for each vector, where
// centered = x - center and gradient = dy f'(z).
template <class T, int V, class F, class U>
KERAS_NORMS_DEVICE void ForEachGradient(const Geometry& g, const ThreadMap& map,
                                        const AffineParams<V>& affine,
                                        int activation, Mask<V> mask,
                                        const void* x, const void* dy,
                                        const U& use) {
  const F f(activation);
  ForEachStep<kStepsPerBatch<T, V, 2>>(
      g, map, [&](auto steps, long long element, long long position) {
        constexpr int n = steps.value;
        Pack<T, V> x_vectors[n], dy_vectors[n];
        bool valid[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          x_vectors[i].Load(x, element + i * map.step_stride);
          dy_vectors[i].Load(dy, element + i * map.step_stride);
          valid[i] = mask.IsValid(position + i * g.column_threads);
        }
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          float centered[V], gradient[V];
          affine.Center(x_vectors[i], valid[i], centered);
          affine.Gradient(f, centered, dy_vectors[i], gradient);
          use(element + i * map.step_stride, centered, gradient, valid[i]);
        }
      });
}

// Stores the sums of a column. Its first thread calls it.
template <int V>
KERAS_NORMS_DEVICE void StorePartials(const Geometry& g,
                                      const ColumnSums<V>& columns,
                                      keras_norms::SumsPartial* to) {
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    if (j >= g.column_channels) break;
    to[j] = {columns.At(j).first, columns.At(j).second};
  }
}

// Reads x and dy: 2R.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientSums(const keras_norms::SumsTask& task) {
  KERAS_NORMS_SHARED(Sums, slots, ColumnSums<V>::kSlots);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  Sums sums[V] = {};
  {
    const AffineParams<V> affine(g, task.affine, map);
    ForEachGradient<T, V, F>(
        g, map, affine, task.affine.activation, {task.mask}, task.x, task.dy,
        [&](long long, const float (&centered)[V], const float (&gradient)[V],
            bool) {
          KERAS_NORMS_UNROLL
          for (int j = 0; j < V; ++j) {
            Add(&sums[j], {gradient[j], gradient[j] * centered[j]});
          }
        });
  }
  ColumnSums<V> columns(g, map, slots);
  columns.Add(sums);
  if (!map.writes(g)) return;
  StorePartials(g, columns, task.partials + map.PartialIndex(g));
}

// Reads x and dy, and writes dx: 2R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientCombine(const keras_norms::CombineTask& task) {
  const Geometry& g = task.geometry;
  const ThreadMap map(g, ReversedBlock());
  const AffineParams<V> affine(g, task.affine, map);
  float slope[V] = {}, offset[V] = {};
  if (task.slope != nullptr && map.steps > 0) {
    AffineParams<V>::Load(g, task.affine, map, task.slope, slope);
    AffineParams<V>::Load(g, task.affine, map, task.offset, offset);
  }
  ForEachGradient<T, V, F>(g, map, affine, task.affine.activation, {task.mask},
                           task.x, task.dy,
                           [&](long long element, const float (&centered)[V],
                               const float (&gradient)[V], bool valid) {
                             float dx[V];
                             KERAS_NORMS_UNROLL
                             for (int j = 0; j < V; ++j) {
                               dx[j] = gradient[j] * affine.scale[j];
                               if (valid)
                                 dx[j] += centered[j] * slope[j] + offset[j];
                             }
                             Pack<T, V>::Of(dx).Store(task.dx, element);
                           });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PASSES_H_
