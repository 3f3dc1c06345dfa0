// The kernels that read x but for the first: what they give for it, and what
// gradients need.

#ifndef KERAS_NORMS_CUDA_PASSES_H_
#define KERAS_NORMS_CUDA_PASSES_H_

#include "line.h"
#include "moments.h"
#include "tasks.h"

namespace {

// Chunks in the order that is the reverse of the moments' (and sums'): what
// was read last is still in the cache.
KERAS_NORMS_DEVICE unsigned Backwards() { return Blocks() - 1 - Block(); }

// 1R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void Apply(const keras_norms::ApplyTask& task) {
  const Geometry& g = task.geometry;
  const Course course(g, Backwards());
  const Line<V> line(g, task.line, course);
  const Mask<V> mask = {task.mask};
  const F f(task.line.function);
  EachSteps<kAtOnce<T, V, 1>>(
      g, course, [&](auto count, long long at, long long position) {
        constexpr int n = count.value;
        Pack<T, V> x[n];
        bool kept[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          x[i].Load(task.x, at + i * course.step_apart);
          kept[i] = mask.Keeps(position + i * g.lanes);
        }
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          float apart[V], z[V];
          line.Apart(x[i], kept[i], apart);
          line.Values(apart, z);
          f.Values(z);
          Pack<T, V>::Of(z).Store(task.y, at + i * course.step_apart);
        }
      });
}

// use(at, apart, change, kept) for all places: x - center, and dy f'(z).
template <class T, int V, class F, class U>
KERAS_NORMS_DEVICE void EachChange(const Geometry& g, const Course& course,
                                   const Line<V>& line, int function,
                                   Mask<V> mask, const void* x, const void* dy,
                                   const U& use) {
  const F f(function);
  EachSteps<kAtOnce<T, V, 2>>(
      g, course, [&](auto count, long long at, long long position) {
        constexpr int n = count.value;
        Pack<T, V> read[n], other[n];
        bool kept[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          read[i].Load(x, at + i * course.step_apart);
          other[i].Load(dy, at + i * course.step_apart);
          kept[i] = mask.Keeps(position + i * g.lanes);
        }
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          float apart[V], change[V];
          line.Apart(read[i], kept[i], apart);
          line.Changes(f, apart, other[i], change);
          use(at + i * course.step_apart, apart, change, kept[i]);
        }
      });
}

// 2R.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientSums(const keras_norms::SumsTask& task) {
  KERAS_NORMS_SHARED(SumsPart, shared, kFoldRoom<V>);
  const Geometry& g = task.geometry;
  const Course course(g, Block());
  SumsPart parts[V] = {};
  {
    const Line<V> line(g, task.line, course);
    EachChange<T, V, F>(g, course, line, task.line.function, {task.mask},
                        task.x, task.dy,
                        [&](long long, const float (&apart)[V],
                            const float (&change)[V], bool) {
                          KERAS_NORMS_UNROLL
                          for (int j = 0; j < V; ++j) {
                            Merge(&parts[j], {change[j], change[j] * apart[j]});
                          }
                        });
  }
  FoldColumns(g, course, parts, shared);
  if (!course.writes(g)) return;
  StoreColumns(g, parts, task.parts + course.Part(g));
}

// 2R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientCombine(const keras_norms::CombineTask& task) {
  const Geometry& g = task.geometry;
  const Course course(g, Backwards());
  const Line<V> line(g, task.line, course);
  float b[V] = {}, d[V] = {};
  if (task.b != nullptr && course.steps > 0) {
    Line<V>::Entries(g, task.line, course, task.b, b);
    Line<V>::Entries(g, task.line, course, task.d, d);
  }
  EachChange<T, V, F>(g, course, line, task.line.function, {task.mask}, task.x,
                      task.dy,
                      [&](long long at, const float (&apart)[V],
                          const float (&change)[V], bool kept) {
                        float dx[V];
                        KERAS_NORMS_UNROLL
                        for (int j = 0; j < V; ++j) {
                          dx[j] = change[j] * line.scale[j];
                          if (kept) dx[j] += apart[j] * b[j] + d[j];
                        }
                        Pack<T, V>::Of(dx).Store(task.dx, at);
                      });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PASSES_H_
