// The depthwise convolution: y = sum over taps d of kernel[d] x[p + d] + shift.
//
// Each output reads its taps. x is read from memory once, if the lines of a
// window fit in the cache.

#ifndef KERAS_NORMS_CPU_DEPTHWISE_H_
#define KERAS_NORMS_CPU_DEPTHWISE_H_

#include "traversal.h"
#include "window.h"

namespace {

// Vectors of channels, times positions, that are convolved at a time. Sums stay
// in registers.
constexpr int kSums = 8;
// Positions that are convolved together, with one load of the kernel.
constexpr int kPositions = 4;

// Calls f(V(), StaticInt<n>(), c) for the channels from c on: for kVectors
// vectors, then for one, then for each channel that is left.
template <class S, int kVectors, class F>
KERAS_NORMS_INLINE inline void ForEachChannelBlock(int64_t channels,
                                                   const F& f) {
  constexpr int64_t kSize = kVectorSize<S>;
  int64_t c = 0;
  for (; c + kVectors * kSize <= channels; c += kVectors * kSize) {
    f(Vector<S>(), StaticInt<kVectors>(), c);
  }
  for (; c + kSize <= channels; c += kSize) f(Vector<S>(), StaticInt<1>(), c);
  for (; c < channels; ++c) f(S(), StaticInt<1>(), c);
}

// Lines that are read soon: at the same positions as a line of y. `other` may
// be null.
template <class T>
struct Ahead {
  const T* next;
  const T* other;

  void Fetch(int64_t i) const {
    Prefetch(next + i, false);
    if (other) Prefetch(other + i, false);
  }
};

// Writes kCount positions of y from element `at` of a line on; x and y point to
// the line's first element. The positions have the same taps.
template <int kCount, class T, class S>
inline void Convolve(const T* x, const S* kernel, const S* shift,
                     const Tap* taps, int64_t tap_count, int64_t channels,
                     int64_t at, const Ahead<T>& ahead, T* y, bool streams) {
  ForEachChannelBlock<S, kSums / kCount>(
      channels, [&](auto vector, auto vectors, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int64_t kStep = sizeof(V) / sizeof(S);
    V sums[kCount][kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const V first = shift ? Load<V>(shift + c + v * kStep) : V();
      for (int p = 0; p < kCount; ++p) sums[p][v] = first;
    }
    for (int p = 0; p < kCount; ++p) ahead.Fetch(at + p * channels + c);
    for (int64_t t = 0; t < tap_count; ++t) {
      const T* const input = x + at + taps[t].input + c;
      const S* const weights = kernel + taps[t].weight + c;
      for (int v = 0; v < kVectors; ++v) {
        const V weight = Load<V>(weights + v * kStep);
        for (int p = 0; p < kCount; ++p) {
          sums[p][v] += weight * Load<V>(input + p * channels + v * kStep);
        }
      }
    }
    for (int p = 0; p < kCount; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        Put(sums[p][v], y + at + p * channels + c + v * kStep, streams);
      }
    }
  });
}

// Writes a line of y. x and y point to its first element.
template <class T, class S>
inline void ConvolveLine(const Window& window, const Spatial& spatial,
                         int64_t line, const T* x, const S* kernel,
                         const S* shift, int64_t channels, Tap* taps,
                         const Ahead<T>& ahead, T* y, bool streams) {
  int64_t tap_count = 0, w = 0;
  const auto convolve = [&](auto count) {
    Convolve<decltype(count)::value>(x, kernel, shift, taps, tap_count,
                                     channels, w * channels, ahead, y, streams);
    w += count.value;
  };
  while (w < spatial.width) {
    const bool same = w > window.radius() && window.is_interior(w);
    if (!same) tap_count = window.TapsOf(line, w, taps);
    if (window.is_interior(w) && window.is_interior(w + kPositions - 1)) {
      convolve(StaticInt<kPositions>());
    } else {
      convolve(StaticInt<1>());
    }
  }
}

// Whether stores of a tensor should be non-temporal, see Traversal::aligned.
template <class T>
inline bool StreamsTo(const T* y, const View& view, int64_t tensors) {
  const auto address = reinterpret_cast<uintptr_t>(y);
  const bool aligned = (address | view.channels * sizeof(T)) % 64 == 0;
  return kStreams && aligned && Chunks(view, sizeof(T)).exceed_cache(tensors);
}

template <class T, class S>
void Depthwise(const keras_norms::DepthwiseArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  const Spatial& spatial = arguments.spatial;
  const int64_t channels = view.channels, line_size = spatial.width * channels;
  const int64_t example_lines = spatial.depth * spatial.height;
  const int64_t lines = view.rows * example_lines;
  if (lines * line_size == 0) return;
  const T* const x = static_cast<const T*>(arguments.x);
  const S* const kernel = static_cast<const S*>(arguments.kernel);
  const S* const shift = static_cast<const S*>(arguments.shift);
  T* const y = static_cast<T*>(arguments.y);
  const Window window(spatial, channels, false);
  const bool streams = StreamsTo(y, view, 2);
  const int64_t ahead = window.ahead();
  const int64_t item_lines = CeilDiv(kChunkBytes, line_size * sizeof(T));
  ParallelFor(workers, CeilDiv(lines, item_lines), [&](int64_t item) {
    Buffer<Tap> taps(spatial.window_positions());
    const int64_t end = Min(lines, (item + 1) * item_lines);
    for (int64_t line = item * item_lines; line < end; ++line) {
      const int64_t of_example = line / example_lines * channels;
      const T* const from = x + line * line_size;
      ConvolveLine(window, spatial, line, from, kernel,
                   shift ? shift + of_example : shift, channels, taps.get(),
                   Ahead<T>{from + ahead, nullptr}, y + line * line_size,
                   streams);
    }
    if (streams) EndStreams();
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_DEPTHWISE_H_
