// The depthwise convolution: y = sum over taps d of kernel[d] x[p + d] + shift.

#ifndef KERAS_NORMS_CPU_DEPTHWISE_H_
#define KERAS_NORMS_CPU_DEPTHWISE_H_

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

// Whether stores of a tensor should be non-temporal, see Traversal::aligned.
template <class T>
inline bool StreamsTo(const T* y, const View& view, const T* x,
                      const T* dy = nullptr) {
  const auto address = reinterpret_cast<uintptr_t>(y);
  const bool aligned = (address | view.channels * sizeof(T)) % 64 == 0;
  return kStreams && aligned && Chunks(view, sizeof(T)).streams(y, x, dy);
}

// Writes kCount positions of a line of y, from position w on.
template <int kCount, class T, class S>
inline void Convolve(const WindowLines<T, S>& x, const S* kernel,
                     const S* shift, int64_t taps, int64_t w,
                     int64_t channels, T* y, bool streams) {
  ForEachChannelBlock<S, kSums / kCount>(
      channels, [&](auto vector, auto vectors, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int64_t kStep = sizeof(V) / sizeof(S);
    V sums[kCount][kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const V first = shift ? Load<V>(shift + c + v * kStep) : V();
      for (int p = 0; p < kCount; ++p) {
        sums[p][v] = first;
        x.Fetch((w + p) * channels + c + v * kStep);
      }
    }
    const S* weights = kernel + c;
    for (int64_t i = 0; i < x.count(); ++i) {
      const S* input = x[i] + w * channels + c;
      for (int64_t t = 0; t < taps; ++t) {
        for (int v = 0; v < kVectors; ++v) {
          const V weight = Load<V>(weights + v * kStep);
          for (int p = 0; p < kCount; ++p) {
            sums[p][v] += weight * Load<V>(input + p * channels + v * kStep);
          }
        }
        input += channels;
        weights += channels;
      }
    }
    for (int p = 0; p < kCount; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        Put(sums[p][v], y + (w + p) * channels + c + v * kStep, streams);
      }
    }
  });
}

// Writes a line of y, in groups of positions.
template <class T, class S>
inline void ConvolveLine(const WindowLines<T, S>& x, const S* kernel,
                         const S* shift, const Spatial& spatial,
                         int64_t channels, T* y, bool streams) {
  int64_t w = 0;
  const auto convolve = [&](auto count) {
    for (; w + count.value <= spatial.width; w += count.value) {
      Convolve<decltype(count)::value>(x, kernel, shift, spatial.window_width,
                                       w, channels, y, streams);
    }
  };
  convolve(StaticInt<kPositions>());
  convolve(StaticInt<kPositions / 2>());
  convolve(StaticInt<1>());
}

template <class T, class S>
void Depthwise(const keras_norms::DepthwiseArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  const Spatial& spatial = arguments.spatial;
  const int64_t channels = view.channels, line_size = spatial.width * channels;
  const S* const kernel = static_cast<const S*>(arguments.kernel);
  const S* const shift = static_cast<const S*>(arguments.shift);
  T* const y = static_cast<T*>(arguments.y);
  const bool streams = StreamsTo(y, view, static_cast<const T*>(arguments.x));
  const Sections sections(view, spatial);
  ParallelFor(workers, sections.count, [&](int64_t section) {
    WindowLines<T, S> lines(spatial, channels);
    const int64_t example = sections.example(section);
    const int64_t at = example * sections.example_lines * line_size;
    const T* const x = static_cast<const T*>(arguments.x) + at;
    const int64_t begin = sections.begin(section);
    for (int64_t line = begin; line < sections.end(section); ++line) {
      lines.MoveTo(x, line, line > begin);
      ConvolveLine(lines, kernel, shift ? shift + example * channels : nullptr,
                   spatial, channels, y + at + line * line_size, streams);
    }
    if (streams) EndStreams();
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_DEPTHWISE_H_
