// Which elements of x a thread reads and writes. geometry.h defines the terms.

#ifndef KERAS_NORMS_CUDA_THREAD_MAP_H_
#define KERAS_NORMS_CUDA_THREAD_MAP_H_

#include "device.h"
#include "geometry.h"
#include "vector_types.h"

namespace {

using keras_norms::Geometry;

template <class N>
KERAS_NORMS_DEVICE N Min(N a, N b) {
  return a < b ? a : b;
}

struct ThreadMap {
  long long row;
  int chunk;
  int tile;
  int channel;           // the first channel of the column
  int thread_in_column;  // 0 to column_threads - 1
  int thread_stride;     // from one thread of the column to the next
  int spans;
  int steps;  // in each span; none for threads without a column

  // The index in x of the first element of the first vector. Its position is
  // meaningful only if vectors are single elements.
  long long element;
  long long step_stride;  // in elements
  long long position;

  KERAS_NORMS_DEVICE ThreadMap(const Geometry& g, unsigned block) {
    chunk = static_cast<int>(block) % g.chunks;
    const int rest = static_cast<int>(block) / g.chunks;
    tile = rest % g.column_tiles;
    const int t = Thread() % g.row_threads;
    row = static_cast<long long>(rest / g.column_tiles) * g.block_rows +
          Thread() / g.row_threads;
    const int column = g.channels_last ? t % g.columns : t / g.column_threads;
    thread_in_column = g.channels_last ? t / g.columns : t % g.column_threads;
    thread_stride = g.channels_last ? static_cast<int>(g.columns) : 1;
    channel = (tile * g.columns + column) * g.column_channels;

    const long long span =
        static_cast<long long>(chunk / g.span_chunks) * g.chunk_spans;
    const long long vector = static_cast<long long>(chunk % g.span_chunks) *
                                 g.chunk_steps * g.column_threads +
                             thread_in_column;
    spans = static_cast<int>(Min<long long>(g.spans - span, g.chunk_spans));
    const bool has_column = row < g.rows && channel < g.channels;
    const long long left = has_column ? g.span_vectors - vector : 0;
    const int most = g.chunk_steps * g.column_threads;
    const int taken = left < most ? static_cast<int>(left) : most;
    steps = taken <= 0 ? 0
                       : (taken + g.column_threads - 1) / g.column_threads;

    element = row * g.row_size + span * g.span_stride +
              vector * g.vector_stride + channel * g.channel_stride;
    step_stride = g.column_threads * g.vector_stride;
    position = (row * g.spans + span) * g.span_vectors + vector;
  }

  // Whether this thread writes the results of its column.
  KERAS_NORMS_DEVICE bool writes(const Geometry& g) const {
    return thread_in_column == 0 && row < g.rows && channel < g.channels;
  }

  // The index of the column's first channel in partials of
  // [rows, chunks, channels].
  KERAS_NORMS_DEVICE long long PartialIndex(const Geometry& g) const {
    return (row * g.chunks + chunk) * g.channels + channel;
  }
};

template <int n>
struct StaticInt {
  static constexpr int value = n;
};

// Calls use(StaticInt<n>(), element, position) while n steps are left.
template <int n, class F>
KERAS_NORMS_DEVICE void UnrolledSteps(const Geometry& g, const ThreadMap& map,
                                      int* left, long long* element,
                                      long long* position, const F& use) {
  for (; *left >= n; *left -= n) {
    use(StaticInt<n>(), *element, *position);
    *element += n * map.step_stride;
    *position += n * g.column_threads;
  }
}

// Calls use(steps, element, position) for all steps of a thread. A batch has n
// steps, so that n reads are in flight at once. The remainder is divided into
// batches of 4 or 2 steps and of 1 step.
template <int n, class F>
KERAS_NORMS_DEVICE void ForEachStep(const Geometry& g, const ThreadMap& map,
                                    const F& use) {
  for (int span = 0; span < map.spans; ++span) {
    long long element = map.element + span * g.span_stride;
    long long position = map.position + span * g.span_vectors;
    int left = map.steps;
    UnrolledSteps<n>(g, map, &left, &element, &position, use);
    if constexpr (n > 2) {
      constexpr int smaller = n > 4 ? 4 : 2;
      UnrolledSteps<smaller>(g, map, &left, &element, &position, use);
    }
    if constexpr (n > 1) {
      UnrolledSteps<1>(g, map, &left, &element, &position, use);
    }
  }
}

// The steps of a batch. A thread has 64 bytes in flight in vectors of 16 bytes,
// and 32 bytes in single elements, which take a register each. They are divided
// among the tensors that are read.
template <class T, int V, int tensors>
constexpr int kStepsPerBatch =
    (V == 1 ? 32 / sizeof(typename T::Stored) : 4) / tensors;

// The mask, one byte per position, or null. With a mask, vectors are single
// elements, which VectorWidth ensures.
template <int V>
struct Mask {
  const unsigned char* data;

  KERAS_NORMS_DEVICE bool IsValid(long long position) const {
    if constexpr (V > 1) {
      return true;
    } else {
      return data == nullptr || data[position] != 0;
    }
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_THREAD_MAP_H_
