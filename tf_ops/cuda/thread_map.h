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
  int lane_apart;  // threads, from a lane to the next
  int spans;
  int steps;  // of each; none for threads that are left over

  // Where its first place is, in numbers, and in positions where places are
  // such; and from one step to the next.
  long long at;
  long long step_apart;
  long long position;

  KERAS_NORMS_DEVICE Course(const Geometry& g, unsigned block) {
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

    const long long span =
        static_cast<long long>(chunk / g.span_chunks) * g.chunk_spans;
    const long long place = static_cast<long long>(chunk % g.span_chunks) *
                                g.chunk_steps * g.lanes +
                            lane;
    const bool works = row < g.rows && channel < g.channels;
    const long long left = works ? g.span_places - place : 0;
    spans = static_cast<int>(Least<long long>(g.spans - span, g.chunk_spans));
    steps = static_cast<int>(
        Least<long long>((left + g.lanes - 1) / g.lanes, g.chunk_steps));

    at = row * g.row_size + span * g.span_apart + place * g.place_apart +
         channel * g.channel_apart;
    step_apart = g.lanes * g.place_apart;
    position = (row * g.spans + span) * g.span_places + place;
  }

  // Whether results of its column are this thread's to write.
  KERAS_NORMS_DEVICE bool writes(const Geometry& g) const {
    return lane == 0 && row < g.rows && channel < g.channels;
  }

  // Of tables of parts, [rows, chunks, channels].
  KERAS_NORMS_DEVICE long long Part(const Geometry& g) const {
    return (row * g.chunks + chunk) * g.channels + channel;
  }
};

template <int n>
struct Count {
  static constexpr int value = n;
};

// use(count, at, position) for steps that are left, n at a time.
template <int n, class F>
KERAS_NORMS_DEVICE void Batches(const Geometry& g, const Course& course,
                                int* left, long long* at, long long* position,
                                const F& use) {
  for (; *left >= n; *left -= n) {
    use(Count<n>(), *at, *position);
    *at += n * course.step_apart;
    *position += n * g.lanes;
  }
}

// use(count, at, position) for all its steps, `count.value` of them at a time:
// n, so that as many reads are on their way at once; what is left, by fewer.
template <int n, class F>
KERAS_NORMS_DEVICE void EachSteps(const Geometry& g, const Course& course,
                                  const F& use) {
  for (int span = 0; span < course.spans; ++span) {
    long long at = course.at + span * g.span_apart;
    long long position = course.position + span * g.span_places;
    int left = course.steps;
    Batches<n>(g, course, &left, &at, &position, use);
    if constexpr (n > 2) {
      constexpr int some = n > 4 ? 4 : 2;
      Batches<some>(g, course, &left, &at, &position, use);
    }
    if constexpr (n > 1) Batches<1>(g, course, &left, &at, &position, use);
  }
}

// Steps at a time: enough bytes on their way, with registers to spare.
template <class T, int V, int tensors>
constexpr int kAtOnce =
    (V == 1 ? 32 / sizeof(typename T::Stored) : 4) / tensors;

// Of positions; of single numbers alone.
template <int V>
struct Mask {
  const unsigned char* data;

  KERAS_NORMS_DEVICE bool Keeps(long long position) const {
    if constexpr (V > 1) {
      return true;
    } else {
      return data == nullptr || data[position] != 0;
    }
  }
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_COURSE_H_
