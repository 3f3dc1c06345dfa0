// The window of a depthwise convolution: which inputs an output reads.
//
// The channels are last. A *line* is the positions along the last spatial axis,
// which are contiguous in memory. A *tap* is a position of the window.

#ifndef KERAS_NORMS_CPU_WINDOW_H_
#define KERAS_NORMS_CPU_WINDOW_H_

#include <cstdint>

#include "kernels.h"

namespace {

using keras_norms::Spatial;

// A tap: where its input is, relative to the output, and where its channels are
// in the kernel, both in elements.
struct Tap {
  int64_t input;
  int64_t weight;
};

// The taps of lines and of positions that lie inside of x.
class Window {
 public:
  Window(const Spatial& spatial, int64_t channels, bool mirrored)
      : spatial_(spatial), channels_(channels), mirrored_(mirrored) {}

  // Calls f(distance, weight) for the lines of the window around a line, as far
  // as they lie inside of x. Each starts `distance` elements after that line,
  // and its first tap is the one with number `weight`.
  template <class F>
  void ForEachLine(int64_t line, const F& f) const {
    const Spatial& s = spatial_;
    const int64_t h = line % s.height, d = line / s.height % s.depth;
    for (int64_t i = 0; i < s.window_depth; ++i) {
      const int64_t down = i - s.window_depth / 2;
      if (d + down < 0 || d + down >= s.depth) continue;
      for (int64_t j = 0; j < s.window_height; ++j) {
        const int64_t right = j - s.window_height / 2;
        if (h + right < 0 || h + right >= s.height) continue;
        f((down * s.height + right) * s.width * channels_,
          (i * s.window_height + j) * s.window_width);
      }
    }
  }

  // Writes the taps of position w of a line, and returns their number.
  int64_t TapsOf(int64_t line, int64_t w, Tap* taps) const {
    const int64_t last = spatial_.window_positions() - 1;
    int64_t count = 0;
    ForEachLine(line, [&](int64_t distance, int64_t weight) {
      for (int64_t k = 0; k < spatial_.window_width; ++k) {
        const int64_t along = k - radius();
        if (w + along < 0 || w + along >= spatial_.width) continue;
        const int64_t index = mirrored_ ? last - weight - k : weight + k;
        taps[count++] = {distance + along * channels_, index * channels_};
      }
    });
    return count;
  }

  // The distance of the line that the next line reads first.
  int64_t ahead() const {
    return (spatial_.window_height / 2 + 1) * spatial_.width * channels_;
  }

  int64_t radius() const { return spatial_.window_width / 2; }

  // Whether all taps of position w lie inside of the line.
  bool is_interior(int64_t w) const {
    return w >= radius() && w < spatial_.width - radius();
  }

 private:
  Spatial spatial_;
  int64_t channels_;
  bool mirrored_;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_WINDOW_H_
