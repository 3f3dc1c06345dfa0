// How the host chooses the geometry of a shape, see geometry.h.

#ifndef KERAS_NORMS_CUDA_PLAN_H_
#define KERAS_NORMS_CUDA_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "../contract/arguments.h"
#include "launch.h"
#include "tasks.h"

namespace keras_norms {

// The number of blocks that keeps large GPUs busy, and bounds of the steps of a
// thread. With too few steps, combining partials takes longer than reading x;
// with too many, float sums lose digits. A thread takes kFullSteps if there are
// kWave blocks nevertheless, which large GPUs run at once: three on each of 132
// multiprocessors.
constexpr int64_t kBlocks = 1024;
constexpr int64_t kWave = 396;
constexpr int64_t kMinSteps = 4;
constexpr int64_t kFullSteps = 8;
constexpr int64_t kMaxSteps = 128;
// The least number of vectors in a chunk, if the row has as many: the partials,
// 16 bytes a channel, are then small compared with the chunk.
constexpr int64_t kChunkVectors = 64;

inline int64_t CeilDiv(int64_t value, int64_t step) {
  return (value + step - 1) / step;
}

// The largest power of two that is at most `value`, or 1.
inline int64_t FloorPowerOfTwo(int64_t value) {
  int64_t power = 1;
  while (power * 2 <= value) power *= 2;
  return power;
}

// The result for float64 is not used, because launch.cc refuses that type.
inline int64_t ElementBytes(Type type) { return type == Type::kFloat ? 4 : 2; }

// The elements of a vector: 16 bytes if sizes and pointers allow it and there
// is no mask; otherwise one element.
inline int VectorWidth(const View& view, Type type, const void* mask,
                       std::initializer_list<const void*> tensors) {
  const int64_t vector_elements = 16 / ElementBytes(type);
  const int64_t contiguous = view.inner == 1 ? view.channels : view.inner;
  bool fits = mask == nullptr && contiguous % vector_elements == 0;
  for (const void* data : tensors) {
    fits = fits && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  }
  return fits ? static_cast<int>(vector_elements) : 1;
}

// Sets chunks of about `steps` steps. More than four steps of a span are
// rounded up to a multiple of `multiple`, and the last chunk of the span then
// has fewer. The passes read four vectors at a time, and a remainder takes more
// instructions: their multiple is 4. The fused kernel may not exceed the shared
// memory: its multiple is 1.
inline void SetChunks(Geometry* g, int64_t steps, int64_t multiple) {
  const int64_t span_steps = CeilDiv(g->span_vectors, g->column_threads);
  g->chunk_spans = static_cast<int>(
      std::min(std::max<int64_t>(steps / std::max<int64_t>(span_steps, 1), 1),
               std::max<int64_t>(g->spans, 1)));
  g->span_chunks =
      static_cast<int>(std::max<int64_t>(CeilDiv(span_steps, steps), 1));
  int64_t chunk_steps = CeilDiv(span_steps, g->span_chunks);
  if (chunk_steps > 4) chunk_steps = CeilDiv(chunk_steps, multiple) * multiple;
  g->chunk_steps = static_cast<int>(chunk_steps);
  g->span_chunks = static_cast<int>(std::max<int64_t>(
      CeilDiv(span_steps, std::max<int64_t>(chunk_steps, 1)), 1));
  const int64_t spans = CeilDiv(g->spans, g->chunk_spans);
  g->chunks = static_cast<int>(std::max<int64_t>(spans, 1) * g->span_chunks);
}

inline int64_t BlockCount(const Geometry& g) {
  return CeilDiv(g.rows, g.block_rows) * g.chunks * g.column_tiles;
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
    columns = CeilDiv(columns, std::max<int64_t>(g.column_tiles, 1));
    threads = std::min<int64_t>(kThreads / std::max<int64_t>(columns, 1),
                                g.span_vectors);
    // If rows are short and many, a thread takes more of a row, and a block
    // more rows.
    const bool short_rows = g.span_vectors < threads * kMinSteps;
    if (short_rows && view.rows * g.column_tiles >= kBlocks) {
      threads = std::min<int64_t>(threads, g.span_vectors / kFullSteps);
    }
  } else {
    g.column_channels = 1;
    g.spans = view.outer;
    g.span_stride = view.channels * view.inner;
    g.span_vectors = view.inner / width;
    g.vector_stride = width;
    g.channel_stride = view.inner;
    // A thread takes 16 steps or more per span, so that little of its time is
    // spent on reducing partials. In spans of fewer than 512 vectors it takes
    // as few as 4, so that the 32 threads of a warp read adjacent memory.
    threads = std::max(g.span_vectors / 16, std::min(g.span_vectors / 4, 32LL));
    threads = FloorPowerOfTwo(std::min<int64_t>(threads, kThreads));
    columns = std::min<int64_t>(kThreads / threads, view.channels);
    g.column_tiles =
        static_cast<int>(CeilDiv(view.channels, columns ? columns : 1));
  }
  threads = std::max<int64_t>(threads, 1);
  g.columns = static_cast<int>(columns);
  g.column_threads = static_cast<int>(threads);
  g.row_threads = static_cast<int>(columns * threads);
  const int64_t steps = g.spans * CeilDiv(g.span_vectors, threads);
  int64_t block_rows = kThreads / std::max<int64_t>(columns * threads, 1);
  block_rows = std::min<int64_t>(block_rows, view.rows);
  block_rows = std::max<int64_t>(block_rows, 1);
  g.block_rows = static_cast<int>(block_rows);
  const int64_t total_steps =
      CeilDiv(view.rows, block_rows) * g.column_tiles * steps;
  const int64_t chunk_steps =
      std::max({total_steps / kBlocks, CeilDiv(kChunkVectors, threads),
                std::min(total_steps / kWave, kFullSteps)});
  SetChunks(&g, std::min(std::max(chunk_steps, kMinSteps), kMaxSteps), 4);
  return g;
}

inline int ThreadCount(const Geometry& g) {
  return g.row_threads * g.block_rows;
}

// The number of partials: [rows, chunks, channels].
inline int64_t PartialCount(const Geometry& g) {
  return g.rows * g.chunks * g.channels;
}

// The geometry of a kernel whose results combine `items` partials each. A
// thread combines at most four of them, which it reads at once, unless a result
// would need more than kThreads threads.
inline PoolGeometry MakePoolGeometry(const Geometry& g, int64_t group_size,
                                     int64_t items) {
  int threads = 1;
  while (threads < kThreads && threads * 4 < items) threads *= 2;
  const int size = static_cast<int>(group_size);
  const int groups = size == 0 ? 0 : g.channels / size;
  return {g.rows, g.chunks, g.channels, size, groups, threads,
          kThreads / threads};
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_PLAN_H_
