// How blocks of threads cover x.
//
// A *column* of a row is what has coefficients of its own: channels last, V
// channels side by side; channels first, one channel. Its *places* are where it
// is in memory, V numbers each: a position, or V positions side by side. V is
// 16 bytes of numbers where columns and pointers allow it, and else 1.
//
// A block has `columns` columns of `block_rows` rows and, of each, a chunk of
// its places, which `lanes` threads share in turns: a step takes `lanes` places
// of all its columns. So a thread keeps its coefficients in registers, all
// threads of a warp read side by side, and both layouts are one loop. Wide
// rows are `parts` blocks side by side.
//
// All follows from the shape alone, so that the order of sums does.

#ifndef KERAS_NORMS_CUDA_GEOMETRY_H_
#define KERAS_NORMS_CUDA_GEOMETRY_H_

namespace keras_norms {

constexpr int kThreads = 256;

struct Geometry {
  long long rows;
  long long row_size;  // in numbers, as all that is apart
  long long places;
  // Places lie `place_apart` apart, so many in a row, and then again
  // `span_apart` further on.
  long long span_places;
  long long span_apart;
  long long channel_apart;
  int place_apart;
  int channels;
  int column_channels;  // V, or 1 channels first
  int columns;
  int lanes;
  int block_rows;
  int parts;
  int steps;  // of a chunk
  int chunks;
  bool last;  // channels last: threads of a step are side by side by columns
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_GEOMETRY_H_
