// The gradient of the depthwise convolution, by one read of x and of dy.
//
// dx is the convolution of dy with the mirrored kernel. The same values of dy,
// times x, are added to the gradient of the kernel, in float32 over some lines
// and then in float64.

#ifndef KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_
#define KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_

#include "depthwise.h"

namespace {

// Taps whose gradients stay in registers.
constexpr int kTaps = 9;
// Vectors of channels whose dy is summed at a time.
constexpr int kShifts = 4;
// The positions over which the gradient of the kernel is summed in float32.
constexpr int64_t kNarrowPositions = 64;

// Adds the sum of dy over n positions.
template <class S>
inline void AddSums(const S* dy, int64_t n, int64_t channels, S* sums) {
  ForEachChannelBlock<S, kShifts>(
      channels, [&](auto vector, auto vectors, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int64_t kStep = sizeof(V) / sizeof(S);
    V total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = Load<V>(sums + c + v * kStep);
    for (int64_t i = c; i < n * channels; i += channels) {
      for (int v = 0; v < kVectors; ++v) {
        total[v] += Load<V>(dy + i + v * kStep);
      }
    }
    for (int v = 0; v < kVectors; ++v) Store(total[v], sums + c + v * kStep);
  });
}

// A tap: what it reads at the first position, its weights, their gradient.
template <class S>
struct Tap {
  const S* dy;
  const S* weights;
  S* d_weights;
};

// Adds, for n positions, the products of weights and dy over kCount taps to
// `sums`, and the products of x and dy to the gradients of the weights. There
// are no sums before the first taps of a line. Those of the last ones are dx.
template <int kCount, class T, class S>
inline void AddTaps(const Tap<S>* taps, const WindowLines<T, S>& lines,
                    int64_t n, int64_t channels, const T* x, bool first,
                    S* sums, T* dx, bool streams) {
  ForEachVector<S>(channels, [&](auto vector, int64_t c) KERAS_NORMS_INLINE {
    using V = decltype(vector);
    V products[kCount], weights[kCount];
    const S* inputs[kCount];
    for (int t = 0; t < kCount; ++t) {
      products[t] = Load<V>(taps[t].d_weights + c);
      weights[t] = Load<V>(taps[t].weights + c);
      inputs[t] = taps[t].dy;
    }
    for (int64_t i = c; i < n * channels; i += channels) {
      KeepInMemory(weights);
      if (first) {
        __builtin_prefetch(x + n * channels + i);
        lines.Fetch(i);
      }
      const V input = Load<V>(x + i);
      V sum = first ? V() : Load<V>(sums + i);
      for (int t = 0; t < kCount; ++t) {
        V g = Load<V>(inputs[t] + i);
        KeepInRegister(g);
        products[t] += input * g;
        sum += weights[t] * g;
      }
      if (dx) {
        Put(sum, dx + i, streams);
      } else {
        Store(sum, sums + i);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      Store(products[t], taps[t].d_weights + c);
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

// The gradients of one line after another, in one slot.
template <class T, class S>
class LineGradients {
 public:
  LineGradients(const Spatial& spatial, int64_t channels, const S* kernel,
                bool streams)
      : spatial_(spatial),
        channels_(channels),
        kernel_(kernel),
        streams_(streams),
        lines_(spatial, channels),
        taps_(spatial.window_positions()),
        sums_(spatial.width * channels),
        kernel_sums_(spatial.window_positions() * channels),
        shift_sums_(channels) {}

  // Writes a line of dx, and adds to the gradients of the kernel and of the
  // shift. x, dy and dx point to an example. See MoveTo for `next`.
  void Run(const T* x, const T* dy, T* dx, int64_t line, bool next) {
    const int64_t width = spatial_.width, at = line * width * channels_;
    lines_.MoveTo(dy, line, next);
    const int64_t count = FindTaps();
    AddSums(taps_[count / 2].dy, width, channels_, shift_sums_.narrow());
    int64_t t = 0;
    const auto add = [&](auto number) {
      for (; t + number.value <= count; t += number.value) {
        const bool last = t + number.value == count;
        AddTaps<decltype(number)::value>(
            taps_.get() + t, lines_, width, channels_, x + at, t == 0,
            sums_.get(), last ? dx + at : nullptr, streams_);
      }
    };
    add(StaticInt<kTaps>());
    add(StaticInt<3>());
    add(StaticInt<1>());
  }

  // Adds the sums of the lines since the last call.
  void MoveSumsTo(double* d_kernel, double* d_shift) {
    kernel_sums_.MoveTo(d_kernel);
    shift_sums_.MoveTo(d_shift);
  }

 private:
  // Writes the taps of the mirrored kernel, and returns their number.
  int64_t FindTaps() {
    const int64_t count = spatial_.window_positions();
    const int64_t taps = spatial_.window_width;
    for (int64_t t = 0; t < count; ++t) {
      const int64_t mirrored = (count - 1 - t) * channels_;
      taps_[t] = {lines_[t / taps] + t % taps * channels_, kernel_ + mirrored,
                  kernel_sums_.narrow() + mirrored};
    }
    return count;
  }

  Spatial spatial_;
  int64_t channels_;
  const S* kernel_;
  bool streams_;
  WindowLines<T, S> lines_;
  Buffer<Tap<S>> taps_;
  Buffer<S> sums_;
  WideSums<S> kernel_sums_, shift_sums_;
};

// Writes the sums over `count` consecutive groups of `size` numbers.
template <class S>
void SumGroups(const double* groups, int64_t count, int64_t size, S* sums) {
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += groups[k * size + i];
    sums[i] = S(sum);
  }
}

template <class T, class S>
void DepthwiseGradient(const keras_norms::DepthwiseGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  const Spatial& spatial = arguments.spatial;
  const int64_t channels = view.channels;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  const S* const kernel = static_cast<const S*>(arguments.kernel);
  T* const dx = static_cast<T*>(arguments.dx);
  S* const d_shift = static_cast<S*>(arguments.d_shift);
  const bool streams = StreamsTo(dx, view, x, dy);
  const int64_t kernel_size = spatial.window_positions() * channels;
  const Sections sections(view, spatial);
  const int64_t example_size =
      sections.example_lines * spatial.width * channels;
  Buffer<double> d_kernels(sections.slots * kernel_size);
  Buffer<double> d_shifts(sections.count * channels);
  const int64_t narrow_lines = CeilDiv(kNarrowPositions, spatial.width + 1);
  ParallelFor(workers, sections.slots, [&](int64_t slot) {
    LineGradients<T, S> gradients(spatial, channels, kernel, streams);
    double* const of_slot = d_kernels.get() + slot * kernel_size;
    for (int64_t i = 0; i < kernel_size; ++i) of_slot[i] = 0;
    int64_t section = slot * sections.per_slot;
    const int64_t sections_end =
        Min(sections.count, section + sections.per_slot);
    for (; section < sections_end; ++section) {
      double* const of_section = d_shifts.get() + section * channels;
      for (int64_t c = 0; c < channels; ++c) of_section[c] = 0;
      const int64_t at = sections.example(section) * example_size;
      const int64_t begin = sections.begin(section);
      const int64_t end = sections.end(section);
      for (int64_t line = begin; line < end; ++line) {
        gradients.Run(x + at, dy + at, dx + at, line, line > begin);
        if ((line - begin + 1) % narrow_lines && line + 1 < end) continue;
        gradients.MoveSumsTo(of_slot, of_section);
      }
    }
    if (streams) EndStreams();
  });
  SumGroups(d_kernels.get(), sections.slots, kernel_size,
            static_cast<S*>(arguments.d_kernel));
  for (int64_t row = 0; row < view.rows; ++row) {
    SumGroups(d_shifts.get() + row * sections.per_example * channels,
              sections.per_example, channels, d_shift + row * channels);
  }
}

}  // namespace

#endif  // KERAS_NORMS_CPU_DEPTHWISE_GRADIENT_H_
