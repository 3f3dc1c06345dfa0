// What is known of some places, and how threads put theirs together: in an
// order that is always the same, by one thread for each result.

#ifndef KERAS_NORMS_CUDA_PARTS_H_
#define KERAS_NORMS_CUDA_PARTS_H_

#include "device.h"
#include "tasks.h"

namespace {

using keras_norms::kThreads;
using keras_norms::MomentsPart;
using keras_norms::SumsPart;

// Chan's.
KERAS_NORMS_DEVICE void Merge(MomentsPart* into, const MomentsPart& other) {
  if (other.count == 0) return;
  if (into->count == 0) {
    *into = other;
    return;
  }
  const float count = into->count + other.count;
  const float share = Over(other.count, count);
  const float apart =
      (other.pivot - into->pivot) + (other.offset - into->offset);
  into->offset += apart * share;
  into->squares += other.squares + apart * apart * (into->count * share);
  into->count = count;
}

KERAS_NORMS_DEVICE void Merge(SumsPart* into, const SumsPart& other) {
  into->sum += other.sum;
  into->product += other.product;
}

// Of moments from many parts, about one pivot.
struct WideMoments {
  double count;
  double sum;
  double squares;
};

KERAS_NORMS_DEVICE void Merge(WideMoments* into, const WideMoments& other) {
  into->count += other.count;
  into->sum += other.sum;
  into->squares += other.squares;
}

struct WideSums {
  double sum;
  double product;
};

KERAS_NORMS_DEVICE void Merge(WideSums* into, const WideSums& other) {
  into->sum += other.sum;
  into->product += other.product;
}

// Room for what `Fold` passes on, V parts a thread. Not more than half of the
// threads pass at a time: with V > 1 theirs are kept close together.
template <int V>
constexpr int kFoldRoom = V == 1 ? kThreads : V * kThreads / 2;

// Into the first of n threads, `index` counting them, `apart` one from the
// next. All threads of the block come here. What they pass is kept at the
// numbers of the threads that it is for, less `skip`.
template <int V, class P>
KERAS_NORMS_DEVICE void Fold(P (&mine)[V], int index, int n, int apart,
                             P* shared, int skip = 0) {
  constexpr int stride = kFoldRoom<V> / V;
  while (n > 1) {
    const int half = (n + 1) / 2;
    if (index >= half && index < n) {
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j) {
        shared[j * stride + Thread() - skip - half * apart] = mine[j];
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

#endif  // KERAS_NORMS_CUDA_PARTS_H_
