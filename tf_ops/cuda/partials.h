// How partials are combined: in a fixed order, with one writer for each result,
// so that results have the same bits in every run.

#ifndef KERAS_NORMS_CUDA_PARTIALS_H_
#define KERAS_NORMS_CUDA_PARTIALS_H_

#include "device.h"
#include "tasks.h"

namespace {

using keras_norms::kThreads;
using keras_norms::MomentsPartial;
using keras_norms::SumsPartial;

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

// Reduces what n threads have into the first of them. `index` numbers these
// threads, and the stride between them is `stride`. All threads of the block
// must call it. `shared` has kThreads elements.
template <class P>
KERAS_NORMS_DEVICE void BlockReduce(P* mine, int index, int n, int stride,
                                    P* shared) {
  while (n > 1) {
    const int half = (n + 1) / 2;
    if (index >= half && index < n) shared[Thread() - half * stride] = *mine;
    Barrier();
    if (index + half < n) Merge(mine, shared[Thread()]);
    Barrier();
    n = half;
  }
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PARTIALS_H_
