// How a chunk is walked through in memory, beside its tables.

#ifndef KERAS_NORMS_CPU_WALK_H_
#define KERAS_NORMS_CPU_WALK_H_

#include <cstdint>

#include "chunks.h"
#include "vectors.h"

namespace {

using keras_norms::MaskByte;

// Runs worked on at a time, that go with the same piece of the tables.
constexpr int kRuns = 4;
// How far ahead memory is asked for, of all that is read: what processors
// foresee ends with each page.
constexpr int64_t kAheadBytes = 4096;

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
  const MaskByte* keep;
  int64_t step;
};

// f(Number<kRuns>() or Number<1>(), runs) for all runs of a channel's spans
// that go with entries [tile, tile + n) of its tables.
template <class F>
KERAS_NORMS_INLINE inline void EachRuns(const Walk& walk, int64_t channel,
                                        int64_t tile, int64_t n,
                                        const MaskByte* mask, int64_t ahead,
                                        const F& f) {
  const int64_t width = walk.width(), length = walk.length();
  if (length == 0) return;
  ahead = UpTo(ahead, kRuns * width) * kRuns * width;
  for (int64_t s = 0; s < walk.spans(); ++s) {
    const int64_t offset = walk.offset(channel, s);
    const MaskByte* keep = mask ? mask + walk.position(s) : nullptr;
    int64_t i = tile;
    for (; !keep && i + (kRuns - 1) * width + n <= length; i += kRuns * width) {
      f(Number<kRuns>(), Runs{offset + i, width, n, ahead, nullptr, 0});
    }
    for (; i < length; i += width) {
      const int64_t left = Least(n, length - i);
      const MaskByte* of = keep + (keep ? walk.last() ? i / width : i : 0);
      f(Number<1>(), Runs{offset + i, width, left, ahead, of, !walk.last()});
    }
  }
}

// Ones, and zeros where numbers from i on are masked.
template <class V>
inline V Keeps(const Runs& runs, int64_t i) {
  return EachLane(V(), [&](Scalar<V>, int64_t lane) {
    return Scalar<V>(runs.keep[(i + lane) * runs.step] != 0);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_WALK_H_
