// How x is divided into chunks for threads.

#ifndef KERAS_NORMS_CPU_CHUNKS_H_
#define KERAS_NORMS_CPU_CHUNKS_H_

#include <cstdint>
#include <cstdlib>

#include "kernels.h"

namespace {

using keras_norms::View;
using keras_norms::Workers;

// Coefficients of narrow channels are repeated to a multiple of kWidthMultiple
// entries, from kMinWidth to kMaxWidth of them. If the channels are first, a
// coefficient is repeated to at most kMinWidth entries.
constexpr int64_t kMinWidth = 64;
constexpr int64_t kMaxWidth = 512;
constexpr int64_t kWidthMultiple = 16;
// The sums that are accumulated at a time, so that they stay in the L1 cache.
constexpr int64_t kTile = 1024;
// The least size of a chunk in bytes and in positions, if the row has as many:
// the work for each chunk and channel must be small compared with the chunk.
constexpr int64_t kChunkBytes = 1 << 17;
constexpr int64_t kChunkPositions = 128;
constexpr int64_t kMaxChunks = 64;

// These files are compiled once for each instruction set. They use no templates
// of the standard library, because a linker keeps only one copy of a template.
template <class N>
inline N Min(N a, N b) {
  return a < b ? a : b;
}

inline int64_t CeilDiv(int64_t value, int64_t step) {
  return (value + step - 1) / step;
}

template <class N>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      // Aligned to cache lines, because a vector in two lines costs twice.
      : data_(static_cast<N*>(
            std::aligned_alloc(64, CeilDiv(size * sizeof(N) + 1, 64) * 64))) {
    if (data_ == nullptr) std::abort();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  N* get() const { return data_; }
  N& operator[](int64_t i) const { return data_[i]; }

 private:
  N* data_;
};

template <class F>
inline void ParallelFor(const Workers& workers, int64_t items, const F& work) {
  workers.Run(
      items,
      [](void* context, int64_t item) {
        (*static_cast<const F*>(context))(item);
      },
      const_cast<F*>(&work));
}

// Some positions of a row.
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

// The chunks of all rows. They depend on the shape only, never on the number of
// threads, so that results do not either.
class Chunks {
 public:
  Chunks(const View& view, int64_t bytes) : view_(view), bytes_(bytes) {
    const int64_t row = view.positions() * view.channels * bytes;
    int64_t wanted = Min(row / kChunkBytes, view.positions() / kChunkPositions);
    wanted = wanted < 1 ? 1 : Min(wanted, kMaxChunks);
    outer_step_ = CeilDiv(view.outer, Min(wanted, view.outer ? view.outer : 1));
    // A multiple of the repeats of narrow channels.
    const int64_t repeats = Repeats(view);
    outer_step_ = CeilDiv(outer_step_ ? outer_step_ : 1, repeats) * repeats;
    outer_count_ = view.outer ? CeilDiv(view.outer, outer_step_) : 1;
    const int64_t each = CeilDiv(wanted, outer_count_);
    inner_step_ = CeilDiv(CeilDiv(view.inner, each), kTile) * kTile;
    if (inner_step_ == 0) inner_step_ = 1;
    inner_count_ = view.inner ? CeilDiv(view.inner, inner_step_) : 1;
  }

  // The number of chunks of a row.
  int64_t row_chunks() const { return outer_count_ * inner_count_; }

  // Whether each thread should take whole rows.
  bool by_rows(const Workers& workers) const {
    return row_chunks() == 1 || view_.rows >= 2 * workers.threads();
  }

  Chunk at(int64_t row, int64_t index) const {
    const int64_t outer = index / inner_count_ * outer_step_;
    const int64_t inner = index % inner_count_ * inner_step_;
    return {row, outer, Min(outer + outer_step_, view_.outer), inner,
            Min(inner + inner_step_, view_.inner)};
  }

  // Whether stores should bypass the caches: the tensors that a pass reads and
  // writes exceed two thirds of the last-level cache, which holds other data
  // too. A tensor that is overwritten is in the caches when it is stored.
  bool streams(const void* to, const void* x, const void* dy = nullptr) const {
    const int64_t tensors = dy == nullptr ? 2 : 3;
    const int64_t bytes =
        view_.rows * view_.positions() * view_.channels * bytes_;
    return to != x && to != dy &&
           bytes * tensors > keras_norms::CacheBytes() / 3 * 2;
  }

  static int64_t Repeats(const View& view) {
    if (view.inner != 1 || view.channels == 0) return 1;
    int64_t repeats = 1;
    while (repeats * view.channels % kWidthMultiple) repeats *= 2;
    while (repeats * view.channels < kMinWidth) repeats *= 2;
    // Expanding the coefficients must pay for itself.
    const bool pays = repeats <= view.outer / 16;
    return pays && repeats * view.channels <= kMaxWidth ? repeats : 1;
  }

 private:
  View view_;
  int64_t bytes_;
  int64_t outer_step_, outer_count_, inner_step_, inner_count_;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_CHUNKS_H_
