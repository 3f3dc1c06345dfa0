// The gradient of group norm with one read of x and dy, 2R 1W: as in fused.h,
// blocks cache what they read in shared memory, combine its sums over groups,
// and compute dx from the cache. The sums of channels are written as partials,
// from which affine_gradient computes the gradients of gamma and beta.

#ifndef KERAS_NORMS_CUDA_FUSED_GRADIENT_H_
#define KERAS_NORMS_CUDA_FUSED_GRADIENT_H_

#include "fused.h"
#include "passes.h"

namespace {

// The gradient of x through the moments of a group is
// (x - mean) slope + offset.
struct GroupSlope {
  float slope;
  float offset;
};

template <class T, int V, class F>
KERAS_NORMS_DEVICE void FusedGradient(
    const keras_norms::FusedGradientTask& task) {
  KERAS_NORMS_SHARED(SumsPartial, shared, kReduceSize<1>);
  KERAS_NORMS_SHARED(SumsPartial, groups, kThreads);
  KERAS_NORMS_SHARED(GroupSlope, slopes, kThreads);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  const BlockOfGroups block(g, map, task.affine.group_size);
  SumsPartial* const reduce_buffer =
      reinterpret_cast<SumsPartial*>(DynamicShared());
  Pack<T, V>* const cached =
      reinterpret_cast<Pack<T, V>*>(reduce_buffer + kReduceSize<V>) + Thread();
  const AffineParams<V> affine(g, task.affine, map);
  const F f(task.affine.activation);

  SumsPartial partials[V] = {};
  {
    Pack<T, V>* next = cached;
    ForEachStep<kStepsPerBatch<T, V, 2>>(
        g, map, [&](auto steps, long long element, long long) {
          constexpr int n = steps.value;
          Pack<T, V> x[n], dy[n];
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            x[i].Load(task.x, element + i * map.step_stride);
            dy[i].Load(task.dy, element + i * map.step_stride);
          }
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            next[0] = x[i];
            next[block.threads] = dy[i];
            next += 2 * block.threads;
            float centered[V], gradient[V];
            affine.Center(x[i], /*valid=*/true, centered);
            affine.Gradient(f, centered, dy[i], gradient);
            KERAS_NORMS_UNROLL
            for (int j = 0; j < V; ++j) {
              Merge(&partials[j], {gradient[j], gradient[j] * centered[j]});
            }
          }
        });
  }
  ReduceColumns(g, map, partials, reduce_buffer);
  if (map.writes(g)) {
    StoreColumns(g, partials, task.partials + map.PartialIndex(g));
    // scale is rstd gamma, so sums of groups are weighted by gamma. The last
    // blocks of a cluster may have no steps, and no scale.
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const float scale = map.steps > 0 ? affine.scale[j] : 0.0f;
      partials[j].sum_g *= scale;
      partials[j].sum_g_centered *= scale;
    }
    StoreColumns(g, partials, reduce_buffer + map.channel - block.channel);
  }
  Barrier();
  PoolGroups(reduce_buffer, block.group_size, block.groups, block.threads,
             groups, shared);
  BarrierOfBlocks(g.chunks);

  for (int t = Thread(); t < block.groups; t += block.threads) {
    const SumsPartial all = MergedOverBlocks(&groups[t], g.chunks);
    const long long i = block.FirstGroup(g, map) + t;
    const double rstd = task.affine.scale[i];
    const double residual = task.affine.shift[i];
    const double slope = -rstd * rstd *
                         (all.sum_g_centered - residual * all.sum_g) /
                         task.group_elements;
    const double offset = -all.sum_g / task.group_elements - slope * residual;
    slopes[t] = {static_cast<float>(slope), static_cast<float>(offset)};
  }
  // The threads of this block read all slopes, and no block may exit while
  // another one reads its groups.
  BarrierOfBlocks(g.chunks);

  float slope[V], offset[V];
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    const GroupSlope& group = slopes[block.GroupOf(g, map, j)];
    slope[j] = group.slope;
    offset[j] = group.offset;
  }
  const Pack<T, V>* next = cached;
  ForEachStep<1>(g, map, [&](auto, long long element, long long) {
    float centered[V], gradient[V], dx[V];
    affine.Center(next[0], /*valid=*/true, centered);
    affine.Gradient(f, centered, next[block.threads], gradient);
    next += 2 * block.threads;
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      dx[j] = gradient[j] * affine.scale[j] +
              (centered[j] * slope[j] + offset[j]);
    }
    Pack<T, V>::Of(dx).Store(task.dx, element);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_FUSED_GRADIENT_H_
