// Two sums for each entry of a tile, folded into float64 now and then.

#ifndef KERAS_NORMS_CPU_SUMS_H_
#define KERAS_NORMS_CPU_SUMS_H_

#include <cstdint>

#include "chunks.h"
#include "numbers.h"

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

  // Of x - pivot, and of its square.
  void AddSquares(const S* __restrict x, const S* __restrict pivot,
                  int64_t n) {
    S* __restrict a = a_;
    S* __restrict b = b_;
    for (int64_t i = 0; i < n; ++i) {
      const S d = x[i] - pivot[i];
      a[i] += d;
      b[i] += d * d;
    }
    Count(1);
  }

  // Of four runs: the sums are read and written once for all.
  void AddSquares(const S* const x[4], const S* __restrict pivot, int64_t n) {
    S* __restrict a = a_;
    S* __restrict b = b_;
    const S* __restrict x0 = x[0];
    const S* __restrict x1 = x[1];
    const S* __restrict x2 = x[2];
    const S* __restrict x3 = x[3];
    for (int64_t i = 0; i < n; ++i) {
      const S d0 = x0[i] - pivot[i];
      const S d1 = x1[i] - pivot[i];
      const S d2 = x2[i] - pivot[i];
      const S d3 = x3[i] - pivot[i];
      a[i] += (d0 + d1) + (d2 + d3);
      b[i] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
    Count(4);
  }

  // Of g, and of g (x - center).
  void AddProducts(const S* __restrict g, const S* __restrict x,
                   const S* __restrict center, int64_t n) {
    S* __restrict a = a_;
    S* __restrict b = b_;
    for (int64_t i = 0; i < n; ++i) {
      a[i] += g[i];
      b[i] += g[i] * (x[i] - center[i]);
    }
    Count(1);
  }

  void AddProducts(const S* const g[4], const S* const x[4],
                   const S* __restrict center, int64_t n) {
    S* __restrict a = a_;
    S* __restrict b = b_;
    const S* __restrict g0 = g[0];
    const S* __restrict g1 = g[1];
    const S* __restrict g2 = g[2];
    const S* __restrict g3 = g[3];
    const S* __restrict x0 = x[0];
    const S* __restrict x1 = x[1];
    const S* __restrict x2 = x[2];
    const S* __restrict x3 = x[3];
    for (int64_t i = 0; i < n; ++i) {
      const S m = center[i];
      a[i] += (g0[i] + g1[i]) + (g2[i] + g3[i]);
      b[i] += (g0[i] * (x0[i] - m) + g1[i] * (x1[i] - m)) +
              (g2[i] * (x2[i] - m) + g3[i] * (x3[i] - m));
    }
    Count(4);
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
  void Count(int64_t runs) {
    runs_ += runs;
    if (runs_ >= kFold) Fold();
  }

  alignas(64) S a_[kTile];
  alignas(64) S b_[kTile];
  double* one_;
  double* two_;
  int64_t width_;
  int64_t runs_;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_SUMS_H_
