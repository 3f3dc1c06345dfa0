// The course of a thread: which places of x it goes to. See geometry.h.

#ifndef KERAS_NORMS_CUDA_COURSE_H_
#define KERAS_NORMS_CUDA_COURSE_H_

#include "device.h"
#include "geometry.h"
#include "numbers.h"

namespace {

using keras_norms::Geometry;

template <class N>
KERAS_NORMS_DEVICE N Least(N a, N b) {
  return a < b ? a : b;
}

struct Course {
  long long row;
  int chunk;
  int channel;  // the first
  int lane;
  int steps;  // how many places; none for threads that are left over

  // Threads of a column are so far apart.
  int lane_apart;

  KERAS_NORMS_DEVICE Course(const Geometry& g, unsigned block) : geometry_(g) {
    chunk = block % g.chunks;
    const unsigned rest = block / g.chunks;
    const int part = rest % g.parts;
    const int of_row = g.columns * g.lanes;
    const int t = Thread() % of_row;
    row = static_cast<long long>(rest / g.parts) * g.block_rows +
          Thread() / of_row;
    const int column = g.last ? t % g.columns : t / g.lanes;
    lane = g.last ? t / g.columns : t % g.lanes;
    lane_apart = g.last ? g.columns : 1;
    channel = (part * g.columns + column) * g.column_channels;

    const long long begin = static_cast<long long>(chunk) * g.steps * g.lanes;
    first_ = begin + lane;
    const bool works = row < g.rows && channel < g.channels;
    const long long left = works ? g.places - first_ : 0;
    steps = left <= 0 ? 0 : Least<long long>(UpTo(left, g.lanes), g.steps);

    base_ = row * g.row_size + channel * g.channel_apart;
    if (g.places == g.span_places) {
      base_ += first_ * g.place_apart;
    } else {
      base_ += begin / g.span_places * g.span_apart;
      ahead_ = begin % g.span_places + lane;
    }
  }

  // Whether results of its column are this thread's to write.
  KERAS_NORMS_DEVICE bool writes() const {
    return lane == 0 && row < geometry_.rows && channel < geometry_.channels;
  }

  // Where the numbers of a step are.
  KERAS_NORMS_DEVICE long long At(int step) const {
    const Geometry& g = geometry_;
    const int lanes = step * g.lanes;
    if (g.places == g.span_places) {
      return base_ + static_cast<long long>(lanes) * g.place_apart;
    }
    const unsigned place = ahead_ + lanes;
    const unsigned span = place / static_cast<unsigned>(g.span_places);
    const unsigned in = place - span * static_cast<unsigned>(g.span_places);
    return base_ + span * g.span_apart +
           static_cast<long long>(in) * g.place_apart;
  }

  // Where masks are given, places are positions.
  KERAS_NORMS_DEVICE long long Position(int step) const {
    return row * geometry_.places + first_ +
           static_cast<long long>(step) * geometry_.lanes;
  }

  // Of tables of parts, [rows, chunks, channels].
  KERAS_NORMS_DEVICE long long Part() const {
    return (row * geometry_.chunks + chunk) * geometry_.channels + channel;
  }

 private:
  static KERAS_NORMS_DEVICE long long UpTo(long long value, int step) {
    return (value + step - 1) / step;
  }

  const Geometry& geometry_;
  long long first_;
  long long base_;
  unsigned ahead_ = 0;
};

// How many places are read before the first is used: enough bytes on their
// way, with registers to spare.
template <int V, int tensors>
constexpr int kAtOnce = V == 1 ? 8 / tensors : 4 / tensors;

// What is read of a mask.
struct Mask {
  const unsigned char* data;

  KERAS_NORMS_DEVICE bool Keeps(const Course& course, int step) const {
    return data == nullptr || data[course.Position(step)] != 0;
  }
};

// use(step, x, kept) for all places, x the numbers there.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void EachPlace(const Course& course, Mask mask,
                                  const void* x, const F& use) {
  constexpr int n = kAtOnce<V, 1>;
  for (int k = 0; k < course.steps; k += n) {
    Pack<T, V> read[n];
    bool kept[n];
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (k + i >= course.steps) continue;
      read[i].Load(x, course.At(k + i));
      kept[i] = mask.Keeps(course, k + i);
    }
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (k + i < course.steps) use(k + i, read[i], kept[i]);
    }
  }
}

// The same with two tensors: use(step, x, dy, kept).
template <class T, int V, class F>
KERAS_NORMS_DEVICE void EachPlace(const Course& course, Mask mask,
                                  const void* x, const void* dy, const F& use) {
  constexpr int n = kAtOnce<V, 2>;
  for (int k = 0; k < course.steps; k += n) {
    Pack<T, V> read[n], other[n];
    bool kept[n];
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (k + i >= course.steps) continue;
      const long long at = course.At(k + i);
      read[i].Load(x, at);
      other[i].Load(dy, at);
      kept[i] = mask.Keeps(course, k + i);
    }
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (k + i < course.steps) use(k + i, read[i], other[i], kept[i]);
    }
  }
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_COURSE_H_
