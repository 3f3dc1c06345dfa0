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

// An integer that others are divided by, as a product and a shift (Granlund and
// Montgomery, 1994). Otherwise a division takes about 25 instructions.
class Divisor {
 public:
  Divisor() = default;
  Divisor(int value) : value_(value), multiplier_(0), shift_(0) {  // NOLINT
    if (value <= 0) return;
    while ((1LL << shift_) < value) ++shift_;
    const unsigned long long missing = (1LL << shift_) - value;
    multiplier_ = static_cast<unsigned>((missing << 32) / value + 1);
  }

  operator int() const { return value_; }  // NOLINT

  // The numbers that it divides are at least 0, and less than 2^31.
  friend int operator/(int number, const Divisor& divisor) {
    const unsigned n = static_cast<unsigned>(number);
    const unsigned high = static_cast<unsigned>(
        (static_cast<unsigned long long>(n) * divisor.multiplier_) >> 32);
    return static_cast<int>((high + n) >> divisor.shift_);
  }
  friend int operator%(int number, const Divisor& divisor) {
    return number - number / divisor * divisor.value_;
  }

 private:
  int value_;
  unsigned multiplier_;
  int shift_;
};

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
  Divisor columns;
  Divisor column_threads;
  Divisor row_threads;  // of a block, for each of its rows
  int block_rows;
  Divisor column_tiles;
  int chunk_spans;
  int chunk_steps;  // in each span of the chunk
  Divisor span_chunks;
  Divisor chunks;
  bool channels_last;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_GEOMETRY_H_
