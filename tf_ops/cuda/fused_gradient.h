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
  KERAS_NORMS_SHARED(Sums, shared, kGroupSlots<V>);
  KERAS_NORMS_SHARED(Sums, groups, kThreads);
  KERAS_NORMS_SHARED(GroupSlope, slopes, kThreads);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  const BlockOfGroups block(g, map, task.affine.group_size);
  Sums* const slots = reinterpret_cast<Sums*>(DynamicShared());
  Pack<T, V>* const cached =
      reinterpret_cast<Pack<T, V>*>(slots + ColumnSums<V>::kSlots) + Thread();
  const AffineParams<V> affine(g, task.affine, map);
  const F f(task.affine.activation);

  Sums sums[V] = {};
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
              Add(&sums[j], {gradient[j], gradient[j] * centered[j]});
            }
          }
        });
  }
  ColumnSums<V> columns(g, map, slots);
  columns.Add(sums);
  if (map.thread_in_column == 0) {
    StorePartials(g, columns, task.partials + map.PartialIndex(g));
    // scale is rstd gamma, so sums of groups are weighted by gamma. The last
    // blocks of a cluster may have no steps, and no scale.
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      if (j >= g.column_channels) break;
      const float scale = map.steps > 0 ? affine.scale[j] : 0.0f;
      columns.At(j).first *= scale;
      columns.At(j).second *= scale;
    }
  }
  Barrier();
  AddGroups(columns, block, shared,
            [&](int t, const Sums& sum) { groups[t] = sum; });
  BarrierOfBlocks(g.chunks);

  for (int t = Thread(); t < block.groups; t += block.threads) {
    Sums all = {};
    ForEachRank(&groups[t], g.chunks,
                [&](int, const Sums& sum) { Add(&all, sum); });
    const long long i = block.FirstGroup(g, map) + t;
    const float rstd = task.affine.scale[i];
    const float residual = task.affine.shift[i];
    const float slope = -rstd * rstd * (all.second - residual * all.first) *
                        task.reciprocal_elements;
    slopes[t] = {slope,
                 -all.first * task.reciprocal_elements - slope * residual};
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
