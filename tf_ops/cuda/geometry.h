// How thread blocks cover x.
//
// A *column* is a tile of channels: V adjacent channels if the channels are
// last, or one channel if they are first. Its elements are read as *vectors* of
// V elements: one position of V channels, or V adjacent positions of one
// channel. V elements are 16 bytes if sizes and pointers allow it; otherwise V
// is 1. The vectors of a column have a constant stride within a *span*. If the
// channels are last, there is one span.
//
// A block covers `columns` columns of `block_rows` rows and one *chunk* of
// each: some vectors of a span, or all vectors of some spans. `column_threads`
// threads share a column: in one step, each of them takes one vector. A thread
// therefore keeps the coefficients of its column in registers, the threads of a
// warp read adjacent memory, and one loop serves both layouts. The columns of a
// wide row are divided among `column_tiles` blocks.
//
// The geometry depends only on the shape, and so does the order of summation.

#ifndef KERAS_NORMS_CUDA_GEOMETRY_H_
#define KERAS_NORMS_CUDA_GEOMETRY_H_

namespace keras_norms {

constexpr int kThreads = 256;
// The most blocks of a cluster that every GPU with clusters supports.
constexpr int kMaxCluster = 8;

// Strides and sizes are in elements.
struct Geometry {
  long long rows;
  long long row_size;
  long long spans;
  long long span_stride;
  long long span_vectors;
  long long vector_stride;
  long long channel_stride;
  int channels;
  int column_channels;  // V, or 1 if the channels are first
  int columns;
  int column_threads;
  int block_rows;
  int column_tiles;
  int chunk_spans;
  int chunk_steps;  // in each span of the chunk
  int span_chunks;
  int chunks;
  bool channels_last;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_GEOMETRY_H_
