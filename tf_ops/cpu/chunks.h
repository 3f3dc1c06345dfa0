// How x is cut for threads, and walked through in memory.

#ifndef KERAS_NORMS_CPU_CHUNKS_H_
#define KERAS_NORMS_CPU_CHUNKS_H_

#include <cstdint>
#include <cstdlib>

#include "kernels.h"
#include "numbers.h"

namespace {

using keras_norms::View;
using keras_norms::Workers;

// Sums held at a time, so that they stay in the first cache.
constexpr int64_t kTile = 1024;
// Runs worked on at a time, that go with the same piece of the tables.
constexpr int kRuns = 4;
// How far ahead memory is asked for, of all that is read: what processors
// foresee ends with each page.
constexpr int64_t kAheadBytes = 4096;
// Tables of narrow channels are repeated to whole vectors, and at least to so
// many numbers; channels first, constants are spread over so many.
constexpr int64_t kWide = 64;
constexpr int64_t kWidest = 512;
constexpr int64_t kWhole = 16;
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

  // Whether tensors as large as x, so many, are more than caches hold.
  bool large(int64_t tensors) const {
    const int64_t bytes =
        view_.rows * view_.positions() * view_.channels * bytes_;
    return bytes * tensors > keras_norms::CacheBytes();
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

// How tables line up with memory: number i of a span of memory goes with
// entry i % width of tables that are laid out for it.
class Walk {
 public:
  Walk(const View& view, const Chunk& chunk, bool masked)
      : view_(view), chunk_(chunk), repeats_(1) {
    if (last()) {
      if (!masked) repeats_ = Chunks::Repeats(view);
      width_ = view.channels * repeats_;
    } else {
      width_ = Least(view.inner, kWide);
    }
  }

  bool last() const { return view_.inner == 1; }
  int64_t width() const { return width_; }
  // For channels last one span holds all channels; else each has its own.
  int64_t channels_apart() const { return last() ? 1 : view_.channels; }
  int64_t spans() const {
    return last() ? 1 : chunk_.outer_end - chunk_.outer_begin;
  }

  int64_t length() const {
    if (!last()) return chunk_.inner_end - chunk_.inner_begin;
    return (chunk_.outer_end - chunk_.outer_begin) * view_.channels;
  }

  // Where a span begins in x, and its first position in masks.
  int64_t offset(int64_t channel, int64_t span) const {
    const int64_t outer =
        chunk_.row * view_.outer + chunk_.outer_begin + span;
    return (outer * view_.channels + channel) * view_.inner +
           chunk_.inner_begin;
  }

  int64_t position(int64_t span) const {
    const int64_t outer =
        chunk_.row * view_.outer + chunk_.outer_begin + span;
    return outer * view_.inner + chunk_.inner_begin;
  }

  // Whether each run of y begins with a line of the cache: results can then
  // be stored past it.
  template <class T>
  bool aligned(const T* y) const {
    const int64_t steps = offset(0, 0) | width_ | (last() ? 0 : view_.inner);
    const auto begin = reinterpret_cast<uintptr_t>(y);
    return kStreams && (begin | steps * sizeof(T)) % 64 == 0;
  }

  // A table laid out for the spans of a channel: as it is where it can be.
  template <class S>
  const S* Lay(const S* table, int64_t channel, S* buffer) const {
    if (table == nullptr) return nullptr;
    if (last() && repeats_ == 1) return table;
    const int64_t each = last() ? view_.channels : 1;
    for (int64_t i = 0; i < width_; i += each) {
      for (int64_t c = 0; c < each; ++c) buffer[i + c] = table[channel + c];
    }
    return buffer;
  }

  // The other way: sums over what goes with each channel.
  void Gather(const double* wide, int64_t channel, double* table) const {
    const int64_t each = last() ? view_.channels : 1;
    for (int64_t c = 0; c < each; ++c) table[channel + c] = 0;
    for (int64_t i = 0; i < width_; i += each) {
      for (int64_t c = 0; c < each; ++c) table[channel + c] += wide[i + c];
    }
  }

 private:
  View view_;
  Chunk chunk_;
  int64_t repeats_;
  int64_t width_;
};

template <int N>
struct Number {
  static constexpr int value = N;
};

// Runs that go with the same entries of tables: the first begins at `at`, the
// others `apart`, n numbers each.
struct Runs {
  int64_t at;
  int64_t apart;
  int64_t n;
  // As far as memory is asked for.
  int64_t ahead;
  // Of number i: keep[i * step]; null where all are kept. One run only.
  const bool* keep;
  int64_t step;
};

// f(Number<kRuns>() or Number<1>(), runs) for all runs of a channel's spans
// that go with entries [tile, tile + n) of its tables.
template <class F>
KERAS_NORMS_INLINE inline void EachRuns(const Walk& walk, int64_t channel,
                                        int64_t tile, int64_t n,
                                        const bool* mask, int64_t ahead,
                                        const F& f) {
  const int64_t width = walk.width(), length = walk.length();
  if (length == 0) return;
  ahead = UpTo(ahead, kRuns * width) * kRuns * width;
  for (int64_t s = 0; s < walk.spans(); ++s) {
    const int64_t offset = walk.offset(channel, s);
    const bool* keep = mask ? mask + walk.position(s) : nullptr;
    int64_t i = tile;
    for (; !keep && i + (kRuns - 1) * width + n <= length; i += kRuns * width) {
      f(Number<kRuns>(), Runs{offset + i, width, n, ahead, nullptr, 0});
    }
    for (; i < length; i += width) {
      const int64_t left = Least(n, length - i);
      const bool* of = keep + (keep ? walk.last() ? i / width : i : 0);
      f(Number<1>(), Runs{offset + i, width, left, ahead, of, !walk.last()});
    }
  }
}

// Ones, and zeros where numbers from i on are masked.
template <class V>
inline V Keeps(const Runs& runs, int64_t i) {
  return EachLane(V(), [&](Scalar<V>, int64_t lane) {
    return Scalar<V>(runs.keep[(i + lane) * runs.step]);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_CHUNKS_H_
