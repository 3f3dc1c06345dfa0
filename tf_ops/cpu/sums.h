// Two sums for each entry of a tile: of values, and of their products with
// x - pivot or x - center. They are accumulated in the type of statistics and
// flushed to float64 regularly.

#ifndef KERAS_NORMS_CPU_SUMS_H_
#define KERAS_NORMS_CPU_SUMS_H_

#include <cstdint>

#include "traversal.h"

namespace {

// Runs that are added before a flush: the rounding error of float32 grows with
// their number.
constexpr int64_t kFlushRuns = 64;

template <class S>
class Sums {
 public:
  Sums(double* sum, double* product_sum, int64_t width)
      : sum_(sum), product_sum_(product_sum), width_(width), runs_(0) {
    for (int64_t i = 0; i < width_; ++i) {
      narrow_sum_[i] = narrow_product_sum_[i] = 0;
      sum_[i] = product_sum_[i] = 0;
    }
  }

  // Adds to the entries from i on.
  template <class V>
  KERAS_NORMS_INLINE inline void Add(int64_t i, V sum, V product_sum) {
    Store(Load<V>(narrow_sum_ + i) + sum, narrow_sum_ + i);
    Store(Load<V>(narrow_product_sum_ + i) + product_sum,
          narrow_product_sum_ + i);
  }

  // Must be called after runs have been added.
  void CountRuns(int64_t runs) {
    runs_ += runs;
    if (runs_ >= kFlushRuns) Flush();
  }

  void Flush() {
    for (int64_t i = 0; i < width_; ++i) {
      sum_[i] += narrow_sum_[i];
      product_sum_[i] += narrow_product_sum_[i];
      narrow_sum_[i] = narrow_product_sum_[i] = 0;
    }
    runs_ = 0;
  }

 private:
  alignas(64) S narrow_sum_[kTile];
  alignas(64) S narrow_product_sum_[kTile];
  double* sum_;
  double* product_sum_;
  int64_t width_;
  int64_t runs_;
};

// Computes two sums for each channel of a chunk. expand(channel) returns the
// expanded coefficients, and add(run_count, runs, coefficients, sums) adds
// runs, whose first element uses the first of the coefficients.
template <class S, class E, class F>
inline void ChannelSums(const Traversal& traversal, const MaskByte* mask,
                        int64_t prefetch, double* sum, double* product_sum,
                        const E& expand, const F& add) {
  const int64_t width = traversal.width();
  Buffer<double> expanded_sum(width), expanded_product_sum(width);
  for (int64_t c = 0; c < traversal.separate_channels(); ++c) {
    const auto coefficients = expand(c);
    for (int64_t t = 0; t < width; t += kTile) {
      const int64_t w = Min(kTile, width - t);
      Sums<S> sums(expanded_sum.get() + t, expanded_product_sum.get() + t, w);
      ForEachRunGroup(traversal, c, t, w, mask, prefetch,
                      [&](auto run_count, const Runs& runs) KERAS_NORMS_INLINE {
                        add(run_count, runs, coefficients + t, &sums);
                        sums.CountRuns(run_count.value);
                      });
      sums.Flush();
    }
    traversal.SumByChannel(expanded_sum.get(), c, sum);
    traversal.SumByChannel(expanded_product_sum.get(), c, product_sum);
  }
}

}  // namespace

#endif  // KERAS_NORMS_CPU_SUMS_H_
