// The gradient of the depthwise convolution, by one read of x and of dy.
//
// For each line, dy is convolved with the mirrored kernel, and the products of
// dy and each tap of x are added to the gradient of the kernel, in float32 over
// some lines and then in float64.

#ifndef KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_
#define KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_

#include "depthwise.h"

namespace {

// Vectors of channels, and taps, whose products with dy are summed at a time,
// with one load of dy.
constexpr int kProducts = 4;
constexpr int kTaps = 3;
// The positions over which the gradient of the kernel is summed in float32.
constexpr int64_t kNarrowPositions = 64;
// The partial gradients of the kernel, if there are as many examples or lines.
constexpr int64_t kGradientSlots = 64;

// Adds the sum of dy over n positions.
template <class T, class S>
inline void AddSums(const T* dy, int64_t n, int64_t channels, S* sums) {
  ForEachChannelBlock<S, kProducts>(
      channels, [&](auto vector, auto vectors, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int64_t kStep = sizeof(V) / sizeof(S);
    for (int v = 0; v < kVectors; ++v) {
      const int64_t i = c + v * kStep;
      V sum = Load<V>(sums + i);
      for (int64_t w = 0; w < n; ++w) sum += Load<V>(dy + w * channels + i);
      Store(sum, sums + i);
    }
  });
}

// Adds sums over n positions, of dy times x at each of kCount consecutive taps.
template <int kCount, class T, class S>
inline void AddProducts(const T* x, const T* dy, int64_t n, int64_t channels,
                        S* sums) {
  ForEachChannelBlock<S, kProducts>(
      channels, [&](auto vector, auto vectors, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int64_t kStep = sizeof(V) / sizeof(S);
    V products[kCount][kVectors];
    for (int t = 0; t < kCount; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        products[t][v] = Load<V>(sums + t * channels + c + v * kStep);
      }
    }
    for (int64_t w = 0; w < n; ++w) {
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = w * channels + c + v * kStep;
        const V g = Load<V>(dy + at);
        for (int t = 0; t < kCount; ++t) {
          products[t][v] += g * Load<V>(x + at + t * channels);
        }
      }
    }
    for (int t = 0; t < kCount; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        Store(products[t][v], sums + t * channels + c + v * kStep);
      }
    }
  });
}

// The positions of a line whose tap lies inside of it.
struct Range {
  int64_t begin, end;
};

inline Range RangeOf(int64_t along, int64_t width) {
  return {along < 0 ? Min(-along, width) : 0,
          along > 0 ? width - Min(along, width) : width};
}

// Adds a line's products of dy and each tap of x to the kernel's gradient.
template <class T, class S>
inline void AddKernelGradient(const Window& window, const Spatial& spatial,
                              int64_t line, const T* x, const T* dy,
                              int64_t channels, S* d_kernel) {
  const int64_t taps = spatial.window_width, width = spatial.width;
  window.ForEachLine(line, [&](int64_t distance, int64_t weight) {
    const auto add = [&](auto count, int64_t tap, int64_t begin, int64_t end) {
      if (begin >= end) return;
      const int64_t from = begin + tap - window.radius();
      AddProducts<decltype(count)::value>(x + distance + from * channels,
                                          dy + begin * channels, end - begin,
                                          channels,
                                          d_kernel + (weight + tap) * channels);
    };
    const auto range = [&](int64_t tap) {
      return RangeOf(tap - window.radius(), width);
    };
    int64_t tap = 0;
    for (; tap + kTaps <= taps; tap += kTaps) {
      // The first tap begins last, and the last tap ends first.
      const int64_t begin = range(tap).begin;
      const int64_t end = range(tap + kTaps - 1).end;
      const bool together = begin < end;
      if (together) add(StaticInt<kTaps>(), tap, begin, end);
      for (int64_t each = tap; each < tap + kTaps; ++each) {
        const Range own = range(each);
        add(StaticInt<1>(), each, own.begin, together ? begin : own.end);
        if (together) add(StaticInt<1>(), each, end, own.end);
      }
    }
    for (; tap < taps; ++tap) {
      add(StaticInt<1>(), tap, range(tap).begin, range(tap).end);
    }
  });
}

// Sums in S that are added to float64 sums now and then.
template <class S>
class WideSums {
 public:
  explicit WideSums(int64_t size) : size_(size), narrow_(size) {
    for (int64_t i = 0; i < size; ++i) narrow_[i] = 0;
  }

  S* narrow() { return narrow_.get(); }

  // Adds the sums to `wide`, and sets them to 0.
  void MoveTo(double* wide) {
    for (int64_t i = 0; i < size_; ++i) {
      wide[i] += narrow_[i];
      narrow_[i] = 0;
    }
  }

 private:
  int64_t size_;
  Buffer<S> narrow_;
};

// Examples are divided into sections, and consecutive sections into slots, each
// with one partial gradient of the kernel. They depend on the shape only.
template <class T, class S>
void DepthwiseGradient(const keras_norms::DepthwiseGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  const Spatial& spatial = arguments.spatial;
  const int64_t channels = view.channels, line_size = spatial.width * channels;
  const int64_t example_lines = spatial.depth * spatial.height;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  const S* const kernel = static_cast<const S*>(arguments.kernel);
  T* const dx = static_cast<T*>(arguments.dx);
  S* const d_kernel = static_cast<S*>(arguments.d_kernel);
  S* const d_shift = static_cast<S*>(arguments.d_shift);
  const Window window(spatial, channels, false);
  const Window mirrored(spatial, channels, true);
  const bool streams = StreamsTo(dx, view, 3);
  const int64_t kernel_size = spatial.window_positions() * channels;
  const int64_t wanted = view.rows ? kGradientSlots / view.rows : 1;
  const int64_t example_sections =
      wanted < 1 ? 1 : Min(wanted, example_lines ? example_lines : 1);
  const int64_t section_lines = CeilDiv(example_lines, example_sections);
  const int64_t sections = view.rows * example_sections;
  const int64_t slot_sections = CeilDiv(sections, kGradientSlots);
  const int64_t slots = slot_sections ? CeilDiv(sections, slot_sections) : 0;
  Buffer<double> d_kernels(slots * kernel_size);
  Buffer<double> d_shifts(sections * channels);
  const int64_t ahead = window.ahead();
  const int64_t narrow_lines = CeilDiv(kNarrowPositions, spatial.width + 1);
  ParallelFor(workers, slots, [&](int64_t slot) {
    Buffer<Tap> taps(spatial.window_positions());
    WideSums<S> kernel_sums(kernel_size), shift_sums(channels);
    double* const of_slot = d_kernels.get() + slot * kernel_size;
    for (int64_t i = 0; i < kernel_size; ++i) of_slot[i] = 0;
    const int64_t sections_end = Min(sections, (slot + 1) * slot_sections);
    int64_t section = slot * slot_sections;
    for (; section < sections_end; ++section) {
      double* const of_section = d_shifts.get() + section * channels;
      for (int64_t c = 0; c < channels; ++c) of_section[c] = 0;
      const int64_t example = section / example_sections * example_lines;
      const int64_t begin = section % example_sections * section_lines;
      const int64_t end = Min(begin + section_lines, example_lines);
      for (int64_t line = begin; line < end; ++line) {
        const int64_t at = (example + line) * line_size;
        AddKernelGradient(window, spatial, line, x + at, dy + at, channels,
                          kernel_sums.narrow());
        AddSums(dy + at, spatial.width, channels, shift_sums.narrow());
        ConvolveLine<T, S>(mirrored, spatial, line, dy + at, kernel, nullptr,
                           channels, taps.get(),
                           Ahead<T>{dy + at + ahead, x + at + ahead}, dx + at,
                           streams);
        if ((line - begin + 1) % narrow_lines && line + 1 < end) continue;
        kernel_sums.MoveTo(of_slot);
        shift_sums.MoveTo(of_section);
      }
    }
    if (streams) EndStreams();
  });
  for (int64_t i = 0; i < kernel_size; ++i) {
    double sum = 0;
    for (int64_t s = 0; s < slots; ++s) sum += d_kernels[s * kernel_size + i];
    d_kernel[i] = S(sum);
  }
  for (int64_t i = 0; i < view.rows * channels; ++i) {
    const int64_t first = i / channels * example_sections;
    double sum = 0;
    for (int64_t p = 0; p < example_sections; ++p) {
      sum += d_shifts[(first + p) * channels + i % channels];
    }
    d_shift[i] = S(sum);
  }
}

}  // namespace

#endif  // KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_
