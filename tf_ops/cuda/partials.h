// Partial moments and sums, and how the threads of a block combine theirs: in a
// fixed order, with one writer for each result, so that results have the same
// bits in every run.

#ifndef KERAS_NORMS_CUDA_PARTIALS_H_
#define KERAS_NORMS_CUDA_PARTIALS_H_

#include "device.h"
#include "tasks.h"

namespace {

using keras_norms::kThreads;
using keras_norms::MomentsPartial;
using keras_norms::SumsPartial;

// Chan, Golub and LeVeque's merge.
KERAS_NORMS_DEVICE void Merge(MomentsPartial* into,
                              const MomentsPartial& other) {
  if (other.count == 0) return;
  if (into->count == 0) {
    *into = other;
    return;
  }
  const float count = into->count + other.count;
  const float weight = FastDivide(other.count, count);
  const float difference =
      (other.pivot - into->pivot) + (other.centered_mean - into->centered_mean);
  into->centered_mean += difference * weight;
  into->squares +=
      other.squares + difference * difference * (into->count * weight);
  into->count = count;
}

KERAS_NORMS_DEVICE void Merge(SumsPartial* into, const SumsPartial& other) {
  into->sum_g += other.sum_g;
  into->sum_g_centered += other.sum_g_centered;
}

// Moments of several partials about one pivot.
struct DoubleMoments {
  double count;
  double sum;
  double squares;
};

KERAS_NORMS_DEVICE void Merge(DoubleMoments* into, const DoubleMoments& other) {
  into->count += other.count;
  into->sum += other.sum;
  into->squares += other.squares;
}

struct DoubleSums {
  double sum_g;
  double sum_g_centered;
};

KERAS_NORMS_DEVICE void Merge(DoubleSums* into, const DoubleSums& other) {
  into->sum_g += other.sum_g;
  into->sum_g_centered += other.sum_g_centered;
}

// The elements of shared memory that BlockReduce needs for V partials a thread.
// At most half of the threads write at a time; if V > 1, their elements are
// stored close together.
template <int V>
constexpr int kReduceSize = V == 1 ? kThreads : V * kThreads / 2;

// Reduces the partials of n threads into the first of them. `index` numbers
// these threads, and the stride between them is `thread_stride`. All threads of
// the block must call it. A thread's slot in shared memory is its number minus
// `skip`.
//
// It uses shared memory rather than warp shuffles: if the channels are last,
// the stride between the threads of a column is `columns`, so they belong to
// different warps, and their number need not be a power of two. One tree for
// every layout also fixes the order of summation, and the emulation of the
// tests runs the function unchanged.
template <int V, class P>
KERAS_NORMS_DEVICE void BlockReduce(P (&mine)[V], int index, int n,
                                    int thread_stride, P* shared,
                                    int skip = 0) {
  constexpr int stride = kReduceSize<V> / V;
  while (n > 1) {
    const int half = (n + 1) / 2;
    if (index >= half && index < n) {
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j) {
        shared[j * stride + Thread() - skip - half * thread_stride] = mine[j];
      }
    }
    Barrier();
    if (index + half < n) {
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j) {
        Merge(&mine[j], shared[j * stride + Thread() - skip]);
      }
    }
    Barrier();
    n = half;
  }
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PARTIALS_H_
