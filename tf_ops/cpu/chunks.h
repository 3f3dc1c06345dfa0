// How x is cut for threads.

#ifndef KERAS_NORMS_CPU_CHUNKS_H_
#define KERAS_NORMS_CPU_CHUNKS_H_

#include <cstdint>
#include <cstdlib>

#include "kernels.h"

namespace {

using keras_norms::View;
using keras_norms::Workers;

// Tables of narrow channels are repeated to whole vectors, and at least to so
// many numbers; channels first, constants are spread over so many.
constexpr int64_t kWide = 64;
constexpr int64_t kWidest = 512;
constexpr int64_t kWhole = 16;
// Sums held at a time, so that they stay in the first cache.
constexpr int64_t kTile = 1024;
// A chunk has at least so many bytes, and positions where there are so many:
// what is done once a chunk and channel must be little beside it.
constexpr int64_t kChunkBytes = 1 << 17;
constexpr int64_t kChunkPositions = 128;
constexpr int64_t kMostChunks = 64;

// This file and those beside it are compiled once for each instruction set:
// no templates of the standard library, of which a linker keeps one.
template <class N>
inline N Least(N a, N b) {
  return a < b ? a : b;
}

inline int64_t UpTo(int64_t value, int64_t step) {
  return (value + step - 1) / step;
}

template <class N>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      // Whole cache lines: vectors that straddle two cost twice.
      : data_(static_cast<N*>(
            std::aligned_alloc(64, UpTo(size * sizeof(N) + 1, 64) * 64))) {
    if (data_ == nullptr) std::abort();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  N* get() { return data_; }
  N& operator[](int64_t i) { return data_[i]; }

 private:
  N* data_;
};

template <class F>
inline void Parallel(const Workers& workers, int64_t items, const F& work) {
  workers.Run(
      items,
      [](void* context, int64_t item) {
        (*static_cast<const F*>(context))(item);
      },
      const_cast<F*>(&work));
}

// Some of the positions of a row.
struct Chunk {
  int64_t row;
  int64_t outer_begin;
  int64_t outer_end;
  int64_t inner_begin;
  int64_t inner_end;

  int64_t positions() const {
    return (outer_end - outer_begin) * (inner_end - inner_begin);
  }
};

// The chunks of the rows: of shapes alone, never of how many threads.
class Chunks {
 public:
  Chunks(const View& view, int64_t bytes) : view_(view), bytes_(bytes) {
    const int64_t row = view.positions() * view.channels * bytes;
    int64_t wanted =
        Least(row / kChunkBytes, view.positions() / kChunkPositions);
    wanted = wanted < 1 ? 1 : Least(wanted, kMostChunks);
    outer_step_ = UpTo(view.outer, Least(wanted, view.outer ? view.outer : 1));
    // Whole repeats of narrow channels.
    const int64_t repeats = Repeats(view);
    outer_step_ = UpTo(outer_step_ ? outer_step_ : 1, repeats) * repeats;
    outer_count_ = view.outer ? UpTo(view.outer, outer_step_) : 1;
    const int64_t each = UpTo(wanted, outer_count_);
    inner_step_ = UpTo(UpTo(view.inner, each), kTile) * kTile;
    if (inner_step_ == 0) inner_step_ = 1;
    inner_count_ = view.inner ? UpTo(view.inner, inner_step_) : 1;
  }

  int64_t count() const { return outer_count_ * inner_count_; }

  // Whether threads are best given whole rows.
  bool by_rows(const Workers& workers) const {
    return count() == 1 || view_.rows >= 2 * workers.threads();
  }

  Chunk at(int64_t row, int64_t index) const {
    const int64_t outer = index / inner_count_ * outer_step_;
    const int64_t inner = index % inner_count_ * inner_step_;
    return {row, outer, Least(outer + outer_step_, view_.outer), inner,
            Least(inner + inner_step_, view_.inner)};
  }

  // Whether tensors as large as x, so many, are more than the last cache
  // holds of them: other things are in it too.
  bool large(int64_t tensors) const {
    const int64_t bytes =
        view_.rows * view_.positions() * view_.channels * bytes_;
    return bytes * tensors > keras_norms::CacheBytes() / 3 * 2;
  }

  static int64_t Repeats(const View& view) {
    if (view.inner != 1 || view.channels == 0) return 1;
    int64_t repeats = 1;
    while (repeats * view.channels % kWhole) repeats *= 2;
    while (repeats * view.channels < kWide) repeats *= 2;
    // A layout is worth its making for many times its positions.
    const bool worth = repeats <= view.outer / 16;
    return worth && repeats * view.channels <= kWidest ? repeats : 1;
  }

 private:
  View view_;
  int64_t bytes_;
  int64_t outer_step_, outer_count_, inner_step_, inner_count_;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_CHUNKS_H_
