// How a shape is covered by blocks: host code for geometry.h.

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

// Blocks that keep large GPUs busy, and steps a thread takes: few, and putting
// parts together takes longer than reading; many, and float sums lose digits.
constexpr int64_t kBlocks = 1024;
constexpr int64_t kLeastSteps = 4;
constexpr int64_t kMostSteps = 128;
// Places of a chunk, where there are so many: parts, of 16 bytes a channel,
// are little beside them.
constexpr int64_t kChunkPlaces = 64;

// Blocks of large GPUs that one read of x is for, where x is small; and what
// its kernels have of shared memory, whatever the shape.
constexpr int64_t kFusedBlocks = 128;
constexpr int64_t kFusedStatic = 12 << 10;

inline int64_t CeilOf(int64_t value, int64_t step) {
  return (value + step - 1) / step;
}

// The largest power of two that is at most `value`, and at least 1.
inline int64_t PowerWithin(int64_t value) {
  int64_t power = 1;
  while (power * 2 <= value) power *= 2;
  return power;
}

inline int64_t BytesOf(Type type) { return type == Type::kFloat ? 4 : 2; }

// How many numbers can be accessed at once: 16 bytes of them, or one.
inline int WidthOf(const View& view, Type type, const void* mask,
                   std::initializer_list<const void*> tensors) {
  const int64_t wide = 16 / BytesOf(type);
  const int64_t side = view.inner == 1 ? view.channels : view.inner;
  bool fits = mask == nullptr && side % wide == 0;
  for (const void* data : tensors) {
    fits = fits && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  }
  return fits ? static_cast<int>(wide) : 1;
}

// A chunk of about `steps` of each column's, if more than some a multiple of
// `whole`: as many as are read at once, and the last chunk has less to do.
inline void Chunk(Geometry* g, int64_t steps, int64_t whole) {
  const int64_t of_span = CeilOf(g->span_places, g->lanes);
  g->chunk_spans = static_cast<int>(
      std::min(std::max<int64_t>(steps / std::max<int64_t>(of_span, 1), 1),
               std::max<int64_t>(g->spans, 1)));
  g->span_chunks =
      static_cast<int>(std::max<int64_t>(CeilOf(of_span, steps), 1));
  int64_t each = CeilOf(of_span, g->span_chunks);
  if (each > 4) each = CeilOf(each, whole) * whole;
  g->chunk_steps = static_cast<int>(each);
  g->span_chunks = static_cast<int>(
      std::max<int64_t>(CeilOf(of_span, std::max<int64_t>(each, 1)), 1));
  const int64_t spans = CeilOf(g->spans, g->chunk_spans);
  g->chunks = static_cast<int>(std::max<int64_t>(spans, 1) * g->span_chunks);
}

inline Geometry GeometryOf(const View& view, int width) {
  Geometry g = {};
  g.rows = view.rows;
  g.channels = static_cast<int>(view.channels);
  g.row_size = view.positions() * view.channels;
  g.last = view.inner == 1;
  int64_t columns, lanes;
  if (g.last) {
    g.column_channels = width;
    g.spans = 1;
    g.span_places = view.outer;
    g.place_apart = view.channels;
    g.channel_apart = 1;
    // So many side by side are read as well as more, and leave lanes.
    columns = view.channels / width;
    g.parts = static_cast<int>(CeilOf(columns, width == 1 ? 128 : 32));
    columns = CeilOf(columns, std::max(g.parts, 1));
    lanes = std::min<int64_t>(kThreads / std::max<int64_t>(columns, 1),
                              g.span_places);
  } else {
    g.column_channels = 1;
    g.spans = view.outer;
    g.span_apart = view.channels * view.inner;
    g.span_places = view.inner / width;
    g.place_apart = width;
    g.channel_apart = view.inner;
    // Each has some to do, and neighbours read the same lines of memory.
    lanes = std::max(g.span_places / 16, std::min(g.span_places / 4, 32LL));
    lanes = PowerWithin(std::min<int64_t>(lanes, kThreads));
    columns = std::min<int64_t>(kThreads / lanes, view.channels);
    g.parts = static_cast<int>(CeilOf(view.channels, columns ? columns : 1));
  }
  lanes = std::max<int64_t>(lanes, 1);
  g.columns = static_cast<int>(columns);
  g.lanes = static_cast<int>(lanes);
  const int64_t steps = g.spans * CeilOf(g.span_places, lanes);
  int64_t rows = 1;
  if (steps <= kLeastSteps) {
    // Short rows: some of them to a block.
    rows = kThreads / std::max<int64_t>(columns * lanes, 1);
    rows = std::max<int64_t>(std::min<int64_t>(rows, view.rows), 1);
  }
  g.block_rows = static_cast<int>(rows);
  const int64_t all = CeilOf(view.rows, rows) * g.parts * steps;
  const int64_t each = std::max(all / kBlocks, CeilOf(kChunkPlaces, lanes));
  Chunk(&g, std::min(std::max(each, kLeastSteps), kMostSteps), 4);
  return g;
}

// Of group norm with one read: how many blocks are a cluster, 0 where it does
// not fit, and what shared memory each asks for.
struct FusedPlan {
  Geometry geometry;
  int cluster;
  int shared;
};

// Columns of a block, whole groups of `group` columns each, of all that there
// are: at least `least` side by side, and no more than it must.
inline int64_t WholeColumns(int64_t group, int64_t all, int64_t least) {
  for (int64_t columns = group; columns <= kThreads; columns += group) {
    if (all % columns == 0 && columns >= std::min(least, all)) return columns;
  }
  return 0;
}

inline FusedPlan FusedPlanOf(const View& view, int width, int64_t group_size,
                             const Limits& limits) {
  FusedPlan plan = {GeometryOf(view, width), 0, 0};
  Geometry& g = plan.geometry;
  const int64_t places = g.spans * g.span_places;
  if (width == 1 || places == 0 || group_size == 0) return plan;
  // A line of memory, or enough for all threads.
  const int64_t wide = g.column_channels;
  const int64_t least = g.last ? 8 : CeilOf(4 * kThreads, places);
  const int64_t columns = WholeColumns(std::lcm(group_size, wide) / wide,
                                       view.channels / wide, least);
  const int64_t room = width * kThreads / 2;  // as kFoldRoom
  const int64_t groups = columns * wide / group_size;
  if (columns == 0 || columns * wide > room || groups > kThreads) return plan;
  g.columns = static_cast<int>(columns);
  g.parts = static_cast<int>(view.channels / wide / columns);
  const int64_t lanes = std::min<int64_t>(kThreads / columns, g.span_places);
  g.lanes = static_cast<int>(g.last ? lanes : PowerWithin(lanes));
  g.block_rows = 1;
  // Half of what there is: one block reads while another writes.
  const int64_t beside = room * sizeof(MomentsPart);
  const int64_t most =
      (limits.shared / 2 - kFusedStatic - beside) / (16 * g.columns * g.lanes);
  if (most < 1) return plan;
  const int64_t steps = g.spans * CeilOf(g.span_places, g.lanes);
  int64_t cluster = 1;
  const auto more = [&] {
    const int64_t blocks = g.rows * g.parts * cluster;
    return CeilOf(steps, cluster) > most ||
           (blocks < kFusedBlocks && steps > 2 * cluster);
  };
  while (cluster * 2 <= limits.cluster && more()) cluster *= 2;
  Chunk(&g, CeilOf(steps, cluster), 1);
  const int64_t kept = int64_t{g.chunk_spans} * g.chunk_steps;
  if (g.chunks > cluster || kept > most) return plan;
  g.chunks = static_cast<int>(cluster);  // the last may have none
  plan.cluster = g.chunks;
  plan.shared = static_cast<int>(beside + 16 * kept * g.columns * g.lanes);
  return plan;
}

inline int64_t BlocksOf(const Geometry& g) {
  return CeilOf(g.rows, g.block_rows) * g.chunks * g.parts;
}

inline int ThreadsOf(const Geometry& g) {
  return g.columns * g.lanes * g.block_rows;
}

// Parts that tables hold: [rows, chunks, channels].
inline int64_t PartsOf(const Geometry& g) {
  return g.rows * g.chunks * g.channels;
}

// For results of `items` parts each.
inline PoolGeometry PoolOf(const Geometry& g, int64_t group_size,
                           int64_t items) {
  PoolGeometry pool = {
      g.rows, g.chunks, g.channels, static_cast<int>(group_size), 1, kThreads};
  while (pool.lanes < kThreads && pool.lanes * 4 < items) pool.lanes *= 2;
  pool.each = kThreads / pool.lanes;
  return pool;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_PLAN_H_
