// How the host chooses the geometry of a shape, see geometry.h.

#ifndef KERAS_NORMS_CUDA_PLAN_H_
#define KERAS_NORMS_CUDA_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <numeric>

#include "../contract/arguments.h"
#include "launch.h"
#include "tasks.h"

namespace keras_norms {

// The number of blocks that keeps large GPUs busy, and bounds of the steps of a
// thread. With too few steps, combining partials takes longer than reading x;
// with too many, float sums lose digits.
constexpr int64_t kBlocks = 1024;
constexpr int64_t kMinSteps = 4;
constexpr int64_t kMaxSteps = 128;
// The least number of vectors in a chunk, if the row has as many: the partials,
// 16 bytes a channel, are then small compared with the chunk.
constexpr int64_t kChunkVectors = 64;

// The fused kernel enlarges clusters up to this number of blocks if x is small.
// kFusedStatic bounds its static shared memory, whatever the shape.
constexpr int64_t kFusedBlocks = 128;
constexpr int64_t kFusedStatic = 12 << 10;

inline int64_t CeilDiv(int64_t value, int64_t step) {
  return (value + step - 1) / step;
}

// The largest power of two that is at most `value`, or 1.
inline int64_t FloorPowerOfTwo(int64_t value) {
  int64_t power = 1;
  while (power * 2 <= value) power *= 2;
  return power;
}

inline int64_t ElementBytes(Type type) { return type == Type::kFloat ? 4 : 2; }

// The elements of a vector: 16 bytes if sizes and pointers allow it and there
// is no mask; otherwise one element.
inline int VectorWidth(const View& view, Type type, const void* mask,
                       std::initializer_list<const void*> tensors) {
  const int64_t wide = 16 / ElementBytes(type);
  const int64_t side = view.inner == 1 ? view.channels : view.inner;
  bool fits = mask == nullptr && side % wide == 0;
  for (const void* data : tensors) {
    fits = fits && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  }
  return fits ? static_cast<int>(wide) : 1;
}

// Sets chunks of about `steps` steps. More than four steps are rounded up to a
// multiple of `unroll`, the steps that are read at once; the last chunk then
// has fewer.
inline void SetChunks(Geometry* g, int64_t steps, int64_t unroll) {
  const int64_t of_span = CeilDiv(g->span_vectors, g->column_threads);
  g->chunk_spans = static_cast<int>(
      std::min(std::max<int64_t>(steps / std::max<int64_t>(of_span, 1), 1),
               std::max<int64_t>(g->spans, 1)));
  g->span_chunks =
      static_cast<int>(std::max<int64_t>(CeilDiv(of_span, steps), 1));
  int64_t each = CeilDiv(of_span, g->span_chunks);
  if (each > 4) each = CeilDiv(each, unroll) * unroll;
  g->chunk_steps = static_cast<int>(each);
  g->span_chunks = static_cast<int>(
      std::max<int64_t>(CeilDiv(of_span, std::max<int64_t>(each, 1)), 1));
  const int64_t spans = CeilDiv(g->spans, g->chunk_spans);
  g->chunks = static_cast<int>(std::max<int64_t>(spans, 1) * g->span_chunks);
}

inline Geometry MakeGeometry(const View& view, int width) {
  Geometry g = {};
  g.rows = view.rows;
  g.channels = static_cast<int>(view.channels);
  g.row_size = view.positions() * view.channels;
  g.channels_last = view.inner == 1;
  int64_t columns, threads;
  if (g.channels_last) {
    g.column_channels = width;
    g.spans = 1;
    g.span_vectors = view.outer;
    g.vector_stride = view.channels;
    g.channel_stride = 1;
    // 32 vectors, or 128 elements, are read as fast as wider tiles are, and
    // leave more threads to each column.
    columns = view.channels / width;
    g.column_tiles = static_cast<int>(CeilDiv(columns, width == 1 ? 128 : 32));
    columns = CeilDiv(columns, std::max(g.column_tiles, 1));
    threads = std::min<int64_t>(kThreads / std::max<int64_t>(columns, 1),
                                g.span_vectors);
  } else {
    g.column_channels = 1;
    g.spans = view.outer;
    g.span_stride = view.channels * view.inner;
    g.span_vectors = view.inner / width;
    g.vector_stride = width;
    g.channel_stride = view.inner;
    // Each thread has several steps, and adjacent threads share cache lines.
    threads = std::max(g.span_vectors / 16, std::min(g.span_vectors / 4, 32LL));
    threads = FloorPowerOfTwo(std::min<int64_t>(threads, kThreads));
    columns = std::min<int64_t>(kThreads / threads, view.channels);
    g.column_tiles =
        static_cast<int>(CeilDiv(view.channels, columns ? columns : 1));
  }
  threads = std::max<int64_t>(threads, 1);
  g.columns = static_cast<int>(columns);
  g.column_threads = static_cast<int>(threads);
  const int64_t steps = g.spans * CeilDiv(g.span_vectors, threads);
  int64_t rows = 1;
  if (steps <= kMinSteps) {
    // Rows are short: a block takes several.
    rows = kThreads / std::max<int64_t>(columns * threads, 1);
    rows = std::max<int64_t>(std::min<int64_t>(rows, view.rows), 1);
  }
  g.block_rows = static_cast<int>(rows);
  const int64_t all = CeilDiv(view.rows, rows) * g.column_tiles * steps;
  const int64_t each = std::max(all / kBlocks, CeilDiv(kChunkVectors, threads));
  SetChunks(&g, std::min(std::max(each, kMinSteps), kMaxSteps), 4);
  return g;
}

// The launch of the fused group norm: the blocks of a cluster, 0 if a row does
// not fit, and the dynamic shared memory of each block.
struct FusedPlan {
  Geometry geometry;
  int cluster;
  int shared;
};

// The columns of a block: the smallest multiple of `group` columns that divides
// all columns and has at least `least` of them. 0 if there is none.
inline int64_t GroupedColumns(int64_t group, int64_t all, int64_t least) {
  for (int64_t columns = group; columns <= kThreads; columns += group) {
    if (all % columns == 0 && columns >= std::min(least, all)) return columns;
  }
  return 0;
}

inline FusedPlan MakeFusedPlan(const View& view, int width, int64_t group_size,
                               const Limits& limits) {
  FusedPlan plan = {MakeGeometry(view, width), 0, 0};
  Geometry& g = plan.geometry;
  const int64_t vectors = g.spans * g.span_vectors;
  if (width == 1 || vectors == 0 || group_size == 0) return plan;
  // Enough columns for a cache line, or for all threads.
  const int64_t wide = g.column_channels;
  const int64_t least = g.channels_last ? 8 : CeilDiv(4 * kThreads, vectors);
  const int64_t columns = GroupedColumns(std::lcm(group_size, wide) / wide,
                                         view.channels / wide, least);
  const int64_t workspace = width * kThreads / 2;  // kReduceSize
  const int64_t groups = columns * wide / group_size;
  if (columns == 0 || columns * wide > workspace || groups > kThreads)
    return plan;
  g.columns = static_cast<int>(columns);
  g.column_tiles = static_cast<int>(view.channels / wide / columns);
  const int64_t threads = std::min<int64_t>(kThreads / columns, g.span_vectors);
  g.column_threads =
      static_cast<int>(g.channels_last ? threads : FloorPowerOfTwo(threads));
  g.block_rows = 1;
  // Half of the shared memory, so that one block reads while another writes.
  const int64_t workspace_bytes = workspace * sizeof(MomentsPartial);
  const int64_t max_steps =
      (limits.shared / 2 - kFusedStatic - workspace_bytes) /
      (16 * g.columns * g.column_threads);
  if (max_steps < 1) return plan;
  const int64_t steps = g.spans * CeilDiv(g.span_vectors, g.column_threads);
  int64_t cluster = 1;
  const auto enlarge = [&] {
    const int64_t blocks = g.rows * g.column_tiles * cluster;
    return CeilDiv(steps, cluster) > max_steps ||
           (blocks < kFusedBlocks && steps > 2 * cluster);
  };
  while (cluster * 2 <= limits.cluster && enlarge()) cluster *= 2;
  SetChunks(&g, CeilDiv(steps, cluster), 1);
  const int64_t cached = int64_t{g.chunk_spans} * g.chunk_steps;
  if (g.chunks > cluster || cached > max_steps) return plan;
  g.chunks = static_cast<int>(cluster);  // the last ones may be empty
  plan.cluster = g.chunks;
  plan.shared = static_cast<int>(workspace_bytes +
                                 16 * cached * g.columns * g.column_threads);
  return plan;
}

inline int64_t BlockCount(const Geometry& g) {
  return CeilDiv(g.rows, g.block_rows) * g.chunks * g.column_tiles;
}

inline int ThreadCount(const Geometry& g) {
  return g.columns * g.column_threads * g.block_rows;
}

// The number of partials: [rows, chunks, channels].
inline int64_t PartialCount(const Geometry& g) {
  return g.rows * g.chunks * g.channels;
}

// For results that combine `items` partials each.
inline PoolGeometry MakePoolGeometry(const Geometry& g, int64_t group_size,
                                     int64_t items) {
  PoolGeometry pool = {
      g.rows, g.chunks, g.channels, static_cast<int>(group_size), 1, kThreads};
  while (pool.result_threads < kThreads && pool.result_threads * 4 < items)
    pool.result_threads *= 2;
  pool.block_results = kThreads / pool.result_threads;
  return pool;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_PLAN_H_
