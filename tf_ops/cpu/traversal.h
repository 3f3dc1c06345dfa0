// The order in which a chunk of x is traversed in memory, and the alignment of
// per-channel coefficients with it.

#ifndef KERAS_NORMS_CPU_TRAVERSAL_H_
#define KERAS_NORMS_CPU_TRAVERSAL_H_

#include <cstdint>

#include "chunks.h"
#include "vectors.h"

namespace {

using keras_norms::MaskByte;

// Runs that are processed together, with one load of their coefficients.
constexpr int kRuns = 4;
// The prefetch distance in bytes, divided among the tensors that are read. The
// kernels prefetch because hardware prefetchers stop at page boundaries.
constexpr int64_t kPrefetchBytes = 4096;

// A *span* is contiguous memory: the whole chunk if the channels are last, or
// one channel of one outer index if they are first. Coefficients are *expanded*
// to `width` entries, so that element i of a span goes with entry i % width.
class Traversal {
 public:
  Traversal(const View& view, const Chunk& chunk, bool masked)
      : view_(view), chunk_(chunk), repeats_(1) {
    if (channels_last()) {
      if (!masked) repeats_ = Chunks::Repeats(view);
      width_ = view.channels * repeats_;
    } else {
      width_ = Min(view.inner, kMinWidth);
    }
  }

  bool channels_last() const { return view_.inner == 1; }
  int64_t width() const { return width_; }
  // The number of channels with separate spans. It is 1 if the channels are
  // last, because all of them share one span.
  int64_t separate_channels() const {
    return channels_last() ? 1 : view_.channels;
  }
  int64_t spans() const {
    return channels_last() ? 1 : chunk_.outer_end - chunk_.outer_begin;
  }

  // Elements of a span.
  int64_t length() const {
    if (!channels_last()) return chunk_.inner_end - chunk_.inner_begin;
    return (chunk_.outer_end - chunk_.outer_begin) * view_.channels;
  }

  // The index in x of the first element of a span, and its position in masks.
  int64_t begin(int64_t channel, int64_t span) const {
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

  // Whether every run of y starts at a cache line, which non-temporal stores
  // need.
  template <class T>
  bool aligned(const T* y) const {
    const int64_t steps =
        begin(0, 0) | width_ | (channels_last() ? 0 : view_.inner);
    const auto address = reinterpret_cast<uintptr_t>(y);
    return kStreams && (address | steps * sizeof(T)) % 64 == 0;
  }

  // Expands the coefficients of the spans of a channel. Uses the buffer only if
  // they do not line up already.
  template <class S>
  const S* Expand(const S* coefficients, int64_t channel, S* buffer) const {
    if (coefficients == nullptr) return nullptr;
    if (channels_last() && repeats_ == 1) return coefficients;
    const int64_t each = channels_last() ? view_.channels : 1;
    for (int64_t i = 0; i < width_; i += each) {
      for (int64_t c = 0; c < each; ++c) {
        buffer[i + c] = coefficients[channel + c];
      }
    }
    return buffer;
  }

  // The transpose of Expand: sums the entries of each channel.
  void SumByChannel(const double* expanded, int64_t channel,
                    double* sums) const {
    const int64_t each = channels_last() ? view_.channels : 1;
    for (int64_t c = 0; c < each; ++c) sums[channel + c] = 0;
    for (int64_t i = 0; i < width_; i += each) {
      for (int64_t c = 0; c < each; ++c) sums[channel + c] += expanded[i + c];
    }
  }

 private:
  View view_;
  Chunk chunk_;
  int64_t repeats_;
  int64_t width_;
};

template <int N>
struct StaticInt {
  static constexpr int value = N;
};

// Runs of n elements that use the same entries of expanded coefficients. The
// next run starts `stride` elements after the start of the previous one.
struct Runs {
  int64_t begin;  // the index in x of the first element of the first run
  int64_t stride;
  int64_t n;
  int64_t prefetch;  // elements ahead
  // The mask byte of element i is mask[i * mask_stride]. The stride is 0 if the
  // channels are last, because a run is then one position. `mask` is null if
  // there is no mask. With a mask, runs are passed one at a time.
  const MaskByte* mask;
  int64_t mask_stride;
};

// Calls f(run_count, runs) for all runs in the spans of a channel that use the
// entries [tile, tile + n) of its coefficients. run_count is
// StaticInt<kRuns>(), or StaticInt<1>() for the remaining runs and with a mask.
template <class F>
KERAS_NORMS_INLINE inline void ForEachRunGroup(const Traversal& traversal,
                                               int64_t channel, int64_t tile,
                                               int64_t n, const MaskByte* mask,
                                               int64_t prefetch, const F& f) {
  const int64_t width = traversal.width(), length = traversal.length();
  if (length == 0) return;
  const bool channels_last = traversal.channels_last();
  // A multiple of what an iteration advances by, so that each iteration
  // prefetches the memory of one later iteration.
  prefetch = CeilDiv(prefetch, kRuns * width) * kRuns * width;
  for (int64_t s = 0; s < traversal.spans(); ++s) {
    const int64_t begin = traversal.begin(channel, s);
    const MaskByte* of_span = mask ? mask + traversal.position(s) : nullptr;
    int64_t i = tile;
    for (; !mask && i + (kRuns - 1) * width + n <= length; i += kRuns * width) {
      f(StaticInt<kRuns>(), Runs{begin + i, width, n, prefetch, nullptr, 0});
    }
    for (; i < length; i += width) {
      const int64_t left = Min(n, length - i);
      const MaskByte* of_run =
          mask ? of_span + (channels_last ? i / width : i) : nullptr;
      f(StaticInt<1>(),
        Runs{begin + i, width, left, prefetch, of_run, !channels_last});
    }
  }
}

// Loads the mask of elements from i on as ones and zeros.
template <class V>
inline V LoadMask(const Runs& runs, int64_t i) {
  return ForEachLane(V(), [&](Scalar<V>, int64_t lane) {
    return Scalar<V>(runs.mask[(i + lane) * runs.mask_stride] != 0);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_TRAVERSAL_H_
