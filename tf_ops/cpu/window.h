// The window of a depthwise convolution: which inputs an output reads.
//
// The channels are last. A *line* is the positions along the last spatial axis,
// which are contiguous in memory. A *tap* is a position of the window.

#ifndef KERAS_NORMS_CPU_WINDOW_H_
#define KERAS_NORMS_CPU_WINDOW_H_

#include <cstdint>

#include "traversal.h"

namespace {

using keras_norms::Spatial;

// Copies of the lines that the window around a line contains, with zeros around
// them, so that every tap of every position exists. They stay in caches.
template <class T, class S>
class WindowLines {
 public:
  WindowLines(const Spatial& spatial, int64_t channels)
      : spatial_(spatial),
        line_size_(spatial.width * channels),
        padding_(spatial.window_width / 2 * channels),
        copy_size_(line_size_ + 2 * padding_),
        copies_((count() + 1) * copy_size_),
        lines_(count()) {
    for (int64_t i = 0; i < copy_size_; ++i) copies_[i] = 0;
    for (int64_t copy = 1; copy <= count(); ++copy) {
      S* const begin = copies_.get() + copy * copy_size_;
      for (int64_t i = 0; i < padding_; ++i) {
        begin[i] = begin[padding_ + line_size_ + i] = 0;
      }
    }
  }

  // The number of lines.
  int64_t count() const {
    return spatial_.window_depth * spatial_.window_height;
  }

  // Moves to a line of the example that starts at x. `next` is true if the last
  // call was for the line before.
  void MoveTo(const T* x, int64_t line, bool next) {
    const Spatial& s = spatial_;
    next_ = x + (line + s.window_height / 2 + 1) * line_size_;
    const int64_t h = line % s.height, d = line / s.height;
    const int64_t rows = s.window_height;
    for (int64_t i = 0; i < s.window_depth; ++i) {
      const int64_t slice = d + i - s.window_depth / 2;
      for (int64_t j = 0; j < rows; ++j) {
        const int64_t row = h + j - rows / 2;
        const bool inside =
            slice >= 0 && slice < s.depth && row >= 0 && row < s.height;
        // Copy 0 is a line of zeros.
        const int64_t copy = inside ? 1 + i * rows + row % rows : 0;
        S* const to = copies_.get() + copy * copy_size_;
        lines_[i * rows + j] = to;
        if (!inside || (next && h > 0 && j + 1 < rows)) continue;
        Copy(x + (slice * s.height + row) * line_size_, to + padding_);
      }
    }
  }

  // Prefetches element i of the line that the next call of MoveTo copies.
  void Fetch(int64_t i) const { __builtin_prefetch(next_ + i); }

  // What the first tap of the first position reads, in line i of the window.
  const S* operator[](int64_t i) const { return lines_[i]; }

 private:
  void Copy(const T* from, S* to) {
    ForEachVector<S>(line_size_, [&](auto vector, int64_t i) {
      Store(Load<decltype(vector)>(from + i), to + i);
    });
  }

  Spatial spatial_;
  const T* next_;
  int64_t line_size_, padding_, copy_size_;
  Buffer<S> copies_;
  Buffer<S*> lines_;
};

// Examples are divided into sections, and consecutive sections into slots. They
// depend on the shape only.
struct Sections {
  static constexpr int64_t kSlots = 64;

  Sections(const View& view, const Spatial& spatial)
      : example_lines(spatial.depth * spatial.height) {
    // A section first reads lines of the one before.
    const int64_t most = example_lines / (4 * spatial.window_height);
    const int64_t wanted = Min(most, view.rows ? kSlots / view.rows : 1);
    per_example = wanted < 1 ? 1 : wanted;
    lines = CeilDiv(example_lines, per_example);
    count = view.rows * per_example;
    per_slot = CeilDiv(count, kSlots);
    slots = per_slot ? CeilDiv(count, per_slot) : 0;
  }

  int64_t example(int64_t section) const { return section / per_example; }
  // The lines of an example that a section has.
  int64_t begin(int64_t section) const {
    return section % per_example * lines;
  }
  int64_t end(int64_t section) const {
    return Min(begin(section) + lines, example_lines);
  }

  int64_t example_lines, per_example, lines, count, per_slot, slots;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_WINDOW_H_
