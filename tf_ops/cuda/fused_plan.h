// How the host chooses the geometry of the fused group norm, fused.h.

#ifndef KERAS_NORMS_CUDA_FUSED_PLAN_H_
#define KERAS_NORMS_CUDA_FUSED_PLAN_H_

#include <algorithm>
#include <numeric>

#include "plan.h"

namespace keras_norms {

// If x is small, the clusters of the fused kernel are doubled until there are
// as many blocks, about one for each multiprocessor of a large GPU. More blocks
// than that have at least kFusedMinSteps steps a thread.
constexpr int64_t kFusedMinBlocks = 128;
constexpr int64_t kFusedMinSteps = 3;
// A bound of the static shared memory of the fused kernel. It is 11 KB for
// every type and shape.
constexpr int64_t kFusedStaticBytes = 12 << 10;

// The launch of the fused group norm. It is not used, and `cluster` is 0, if
// vectors are single elements, if x is empty, if no number of columns suits a
// block, if the columns of a block do not fit in the shared memory of a
// cluster, or if there are many blocks, each with little work.
struct FusedPlan {
  Geometry geometry;
  int cluster;  // blocks
  int shared;   // bytes of dynamic shared memory per block
};

// The columns of a block: the smallest multiple of `group_columns` that divides
// `total_columns` and is at least `min_columns`, or `total_columns` if there
// are fewer. The result is 0 if there is none.
inline int64_t GroupedColumns(int64_t group_columns, int64_t total_columns,
                              int64_t min_columns) {
  min_columns = std::min(min_columns, total_columns);
  for (int64_t columns = group_columns; columns <= kThreads;
       columns += group_columns) {
    if (total_columns % columns == 0 && columns >= min_columns) return columns;
  }
  return 0;
}

// The plan whose blocks have columns for `min_steps` steps of each thread, if
// the row has as many. `tensors` are cached: x, and dy for the gradient.
inline FusedPlan MakeFusedPlan(const View& view, int width, int64_t group_size,
                               const Limits& limits, int tensors,
                               int64_t min_steps) {
  FusedPlan plan = {MakeGeometry(view, width), 0, 0};
  Geometry& g = plan.geometry;
  const int64_t vectors = g.spans * g.span_vectors;
  if (width == 1 || vectors == 0 || group_size == 0) return plan;
  // A column has `vectors` vectors. If the channels are last, the eight columns
  // of a position are a cache line of 128 bytes.
  const int64_t column_channels = g.column_channels;
  const int64_t total_columns = view.channels / column_channels;
  const int64_t columns = GroupedColumns(
      std::lcm(group_size, column_channels) / column_channels, total_columns,
      std::max<int64_t>(CeilDiv(min_steps * kThreads, vectors),
                        g.channels_last ? 8 : 1));
  const int64_t block_channels = columns * column_channels;
  if (columns == 0 || columns > kThreads / 2 ||
      block_channels / group_size > kThreads) {
    return plan;
  }
  g.columns = static_cast<int>(columns);
  g.column_tiles = static_cast<int>(total_columns / columns);
  const int64_t threads = std::min<int64_t>(kThreads / columns, g.span_vectors);
  g.column_threads =
      static_cast<int>(g.channels_last ? threads : FloorPowerOfTwo(threads));
  g.row_threads = g.columns * g.column_threads;
  g.block_rows = 1;
  // Half of the shared memory, so that one block reads while another writes.
  const int64_t slot_bytes = width * kThreads * sizeof(Sums);
  const int64_t step_bytes = int64_t{16} * tensors * g.row_threads;
  const int64_t max_steps =
      (limits.shared / 2 - kFusedStaticBytes - slot_bytes) / step_bytes;
  if (max_steps < 1) return plan;
  const int64_t steps = g.spans * CeilDiv(g.span_vectors, g.column_threads);
  int64_t cluster = 1;
  const auto should_double = [&] {
    const int64_t blocks = g.rows * g.column_tiles * cluster;
    return CeilDiv(steps, cluster) > max_steps ||
           (blocks < kFusedMinBlocks && steps >= 2 * kMinSteps * cluster);
  };
  while (cluster * 2 <= limits.cluster && should_double()) cluster *= 2;
  SetChunks(&g, CeilDiv(steps, cluster), 1);
  const int64_t cached = int64_t{g.chunk_spans} * g.chunk_steps;
  if (g.chunks > cluster || cached > max_steps) return plan;
  g.chunks = static_cast<int>(cluster);  // the last ones may be empty
  plan.cluster = g.chunks;
  plan.shared = static_cast<int>(slot_bytes + cached * step_bytes);
  return plan;
}

inline FusedPlan MakeFusedPlan(const View& view, int width, int64_t group_size,
                               const Limits& limits, int tensors = 1) {
  FusedPlan plan = {};
  int64_t blocks = 0;
  // The columns of more steps may need more shared memory than there is, or
  // leave too few blocks.
  for (const int64_t min_steps : {kFullSteps, kMinSteps, int64_t{0}}) {
    plan = MakeFusedPlan(view, width, group_size, limits, tensors, min_steps);
    blocks = BlockCount(plan.geometry);
    if (plan.cluster != 0 && blocks >= kFusedMinBlocks) break;
  }
  const int64_t steps =
      int64_t{plan.geometry.chunk_spans} * plan.geometry.chunk_steps;
  if (steps < kFusedMinSteps && blocks > kFusedMinBlocks) plan.cluster = 0;
  return plan;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_FUSED_PLAN_H_
