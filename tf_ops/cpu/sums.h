// Two sums for each entry of a tile, folded into float64 now and then.

#ifndef KERAS_NORMS_CPU_SUMS_H_
#define KERAS_NORMS_CPU_SUMS_H_

#include <cstdint>

#include "walk.h"

namespace {

// Runs added before they are folded: float32 rounds the more the longer.
constexpr int64_t kFold = 64;

template <class S>
class Sums {
 public:
  Sums(double* one, double* two, int64_t width)
      : one_(one), two_(two), width_(width), runs_(0) {
    for (int64_t i = 0; i < width_; ++i) {
      a_[i] = b_[i] = 0;
      one_[i] = two_[i] = 0;
    }
  }

  // To entries from i on.
  template <class V>
  KERAS_NORMS_INLINE inline void Add(int64_t i, V a, V b) {
    Store(Load<V>(a_ + i) + a, a_ + i);
    Store(Load<V>(b_ + i) + b, b_ + i);
  }

  // After runs have been added.
  void Count(int64_t runs) {
    runs_ += runs;
    if (runs_ >= kFold) Fold();
  }

  void Fold() {
    for (int64_t i = 0; i < width_; ++i) {
      one_[i] += a_[i];
      two_[i] += b_[i];
      a_[i] = b_[i] = 0;
    }
    runs_ = 0;
  }

 private:
  alignas(64) S a_[kTile];
  alignas(64) S b_[kTile];
  double* one_;
  double* two_;
  int64_t width_;
  int64_t runs_;
};

// The two sums of each channel of a chunk: lay(channel) gives tables, and
// add(count, runs, tables from the runs' first entry on, sums) adds runs.
template <class S, class L, class F>
inline void ChannelSums(const Walk& walk, const MaskByte* mask, int64_t ahead,
                        double* one, double* two, const L& lay,
                        const F& add) {
  const int64_t width = walk.width();
  Buffer<double> wide_one(width), wide_two(width);
  for (int64_t c = 0; c < walk.channels_apart(); ++c) {
    const auto tables = lay(c);
    for (int64_t t = 0; t < width; t += kTile) {
      const int64_t w = Least(kTile, width - t);
      Sums<S> sums(wide_one.get() + t, wide_two.get() + t, w);
      EachRuns(walk, c, t, w, mask, ahead,
               [&](auto count, const Runs& runs) KERAS_NORMS_INLINE {
                 add(count, runs, tables + t, &sums);
                 sums.Count(count.value);
               });
      sums.Fold();
    }
    walk.Gather(wide_one.get(), c, one);
    walk.Gather(wide_two.get(), c, two);
  }
}

}  // namespace

#endif  // KERAS_NORMS_CPU_SUMS_H_
