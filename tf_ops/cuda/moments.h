// The first pass: parts, of one chunk of places and one channel each.

#ifndef KERAS_NORMS_CUDA_MOMENTS_H_
#define KERAS_NORMS_CUDA_MOMENTS_H_

#include "course.h"
#include "parts.h"
#include "tasks.h"

namespace {

// Sums of x - pivot, the pivot being the mean of the first few of the thread's
// own numbers: what a float cannot hold of the sums is then little beside what
// those few are apart, wherever they lie.
template <class T, int V>
class MomentsOf {
 public:
  // keep(numbers) is called with all that is read, in order.
  template <class F>
  KERAS_NORMS_DEVICE MomentsOf(const Geometry& g, const Course& course,
                               Mask<V> mask, const void* x, const F& keep) {
    EachSteps<kAtOnce<T, V, 1>>(
        g, course, [&](auto count, long long at, long long position) {
          constexpr int n = count.value;
          Pack<T, V> read[n];
          bool kept[n];
          int found = 0;
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            kept[i] = mask.Keeps(position + i * g.lanes);
            read[i].Load(x, at + i * course.step_apart);
            found += kept[i];
          }
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) keep(read[i]);
          if (count_ == 0 && found > 0) Pivot(read, kept, found);
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            if (kept[i]) Add(read[i]);
          }
          count_ += found;
        });
  }

  KERAS_NORMS_DEVICE MomentsPart Part(int j) const {
    const float count = count_ == 0 ? 1.0f : count_;
    const float offset = sum_[j] / count;
    const float squares = squares_[j] - sum_[j] * offset;
    return {pivot_[j], offset, squares < 0 ? 0.0f : squares,
            static_cast<float>(count_)};
  }

 private:
  template <int n>
  KERAS_NORMS_DEVICE void Pivot(const Pack<T, V> (&read)[n],
                                const bool (&kept)[n], int found) {
    const float share = 1.0f / found;
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (!kept[i]) continue;
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j) pivot_[j] += read[i].Get(j) * share;
    }
  }

  KERAS_NORMS_DEVICE void Add(const Pack<T, V>& read) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const float apart = read.Get(j) - pivot_[j];
      sum_[j] += apart;
      squares_[j] += apart * apart;
    }
  }

  float pivot_[V] = {}, sum_[V] = {}, squares_[V] = {};
  int count_ = 0;
};

// All parts of a column into its first thread: parts[j] of channel j, or,
// channels first, parts[0].
template <int V, class P>
KERAS_NORMS_DEVICE void FoldColumns(const Geometry& g, const Course& course,
                                    P (&parts)[V], P* shared) {
  if (g.last) {
    // Of each row before, only half of the threads have anything there.
    const int of_row = g.columns * g.lanes;
    const int unused = of_row - g.columns * (g.lanes / 2);
    return Fold(parts, course.lane, g.lanes, course.lane_apart, shared,
                Thread() / of_row * unused);
  }
  P one[1] = {parts[0]};
  KERAS_NORMS_UNROLL
  for (int j = 1; j < V; ++j) Merge(&one[0], parts[j]);
  Fold(one, course.lane, g.lanes, course.lane_apart, shared);
  parts[0] = one[0];
}

// What `FoldColumns` gave, from its first thread to a table.
template <int V, class P>
KERAS_NORMS_DEVICE void StoreColumns(const Geometry& g, const P (&parts)[V],
                                     P* to) {
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    if (j < g.column_channels) to[j] = parts[j];
  }
}

// 1R.
template <class T, int V>
KERAS_NORMS_DEVICE void Moments(const keras_norms::MomentsTask& task) {
  KERAS_NORMS_SHARED(MomentsPart, shared, kFoldRoom<V>);
  const Course course(task.geometry, Block());
  MomentsPart parts[V];
  {
    const MomentsOf<T, V> moments(task.geometry, course, {task.mask}, task.x,
                                  [](const Pack<T, V>&) {});
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) parts[j] = moments.Part(j);
  }
  FoldColumns(task.geometry, course, parts, shared);
  if (!course.writes(task.geometry)) return;
  StoreColumns(task.geometry, parts, task.parts + course.Part(task.geometry));
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_MOMENTS_H_
