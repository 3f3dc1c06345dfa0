// How blocks of threads cover x.
//
// A *column* of a row is what has coefficients of its own: channels last, V
// channels side by side; channels first, one channel. Its *places* are where it
// is in memory, V numbers each: a position, or V positions side by side. V is
// 16 bytes of numbers where columns and pointers allow it, and else 1. Places
// lie evenly apart within a span; channels last, there is one span.
//
// A block has `columns` columns of `block_rows` rows and, of each, a chunk:
// some places of a span, or all of some spans. `lanes` threads share them in
// turns: a step takes `lanes` places of all columns. So a thread keeps its
// coefficients in registers, the threads of a warp read side by side, and both
// layouts are one loop. Wide rows are `parts` blocks side by side.
//
// All follows from the shape alone, so that the order of sums does.

#ifndef KERAS_NORMS_CUDA_GEOMETRY_H_
#define KERAS_NORMS_CUDA_GEOMETRY_H_

namespace keras_norms {

constexpr int kThreads = 256;

struct Geometry {
  long long rows;
  long long row_size;  // in numbers, as all that is apart
  long long spans;
  long long span_apart;
  long long span_places;
  long long place_apart;
  long long channel_apart;
  int channels;
  int column_channels;  // V, or 1 channels first
  int columns;
  int lanes;
  int block_rows;
  int parts;
  int chunk_spans;
  int chunk_steps;  // of each of its spans
  int span_chunks;
  int chunks;
  bool last;  // channels last: threads of a step are side by side by columns
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_GEOMETRY_H_
