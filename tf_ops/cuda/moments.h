// The first pass: partial moments of each channel of each chunk. The functions
// that reduce and store the partials of a column serve the gradient, too.

#ifndef KERAS_NORMS_CUDA_MOMENTS_H_
#define KERAS_NORMS_CUDA_MOMENTS_H_

#include "partials.h"
#include "tasks.h"
#include "thread_map.h"

namespace {

// Accumulates x - pivot and its square. The pivot is the mean of the first few
// unmasked values that the thread reads. The rounding errors of the sums are
// then small relative to the deviations of the values, whatever their mean.
template <class T, int V>
class MomentsAccumulator {
 public:
  // Calls visit(vector) for each vector that is read, in order.
  template <class F>
  KERAS_NORMS_DEVICE MomentsAccumulator(const Geometry& g, const ThreadMap& map,
                                        Mask<V> mask, const void* x,
                                        const F& visit) {
    ForEachStep<kStepsPerBatch<T, V, 1>>(
        g, map, [&](auto steps, long long element, long long position) {
          constexpr int n = steps.value;
          Pack<T, V> vectors[n];
          bool valid[n];
          int valid_count = 0;
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            valid[i] = mask.IsValid(position + i * g.column_threads);
            vectors[i].Load(x, element + i * map.step_stride);
            valid_count += valid[i];
          }
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) visit(vectors[i]);
          if (count_ == 0 && valid_count > 0) {
            SetPivot(vectors, valid, valid_count);
          }
          KERAS_NORMS_UNROLL
          for (int i = 0; i < n; ++i) {
            if (valid[i]) Add(vectors[i]);
          }
          count_ += valid_count;
        });
  }

  KERAS_NORMS_DEVICE MomentsPartial Partial(int j) const {
    const float count = count_ == 0 ? 1.0f : count_;
    const float centered_mean = sum_[j] / count;
    const float squares = squares_[j] - sum_[j] * centered_mean;
    return {pivot_[j], centered_mean, squares < 0 ? 0.0f : squares,
            static_cast<float>(count_)};
  }

 private:
  template <int n>
  KERAS_NORMS_DEVICE void SetPivot(const Pack<T, V> (&vectors)[n],
                                   const bool (&valid)[n], int valid_count) {
    const float reciprocal_count = 1.0f / valid_count;
    KERAS_NORMS_UNROLL
    for (int i = 0; i < n; ++i) {
      if (!valid[i]) continue;
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j)
        pivot_[j] += vectors[i].Get(j) * reciprocal_count;
    }
  }

  KERAS_NORMS_DEVICE void Add(const Pack<T, V>& vector) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const float centered = vector.Get(j) - pivot_[j];
      sum_[j] += centered;
      squares_[j] += centered * centered;
    }
  }

  float pivot_[V] = {}, sum_[V] = {}, squares_[V] = {};
  int count_ = 0;
};

// Reduces the partials of the threads of a column into its first thread. If the
// channels are last, partials[j] belongs to channel j of the column. If they
// are first, all elements of a vector belong to one channel, and partials[0] is
// the result.
template <int V, class P>
KERAS_NORMS_DEVICE void ReduceColumns(const Geometry& g, const ThreadMap& map,
                                      P (&partials)[V], P* shared) {
  if (g.channels_last) {
    // At most half of the threads of each row write to shared memory at a time.
    // The slots of the other half are skipped, so that kReduceSize<V> slots are
    // enough for all rows of the block.
    const int row_threads = g.columns * g.column_threads;
    const int unused_slots = row_threads - g.columns * (g.column_threads / 2);
    return BlockReduce(partials, map.thread_in_column, g.column_threads,
                       map.thread_stride, shared,
                       Thread() / row_threads * unused_slots);
  }
  P channel[1] = {partials[0]};
  KERAS_NORMS_UNROLL
  for (int j = 1; j < V; ++j) Merge(&channel[0], partials[j]);
  BlockReduce(channel, map.thread_in_column, g.column_threads,
              map.thread_stride, shared);
  partials[0] = channel[0];
}

// Stores the results of ReduceColumns. The first thread of a column calls it.
template <int V, class P>
KERAS_NORMS_DEVICE void StoreColumns(const Geometry& g, const P (&partials)[V],
                                     P* to) {
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    if (j < g.column_channels) to[j] = partials[j];
  }
}

// Reads x once: 1R.
template <class T, int V>
KERAS_NORMS_DEVICE void Moments(const keras_norms::MomentsTask& task) {
  KERAS_NORMS_SHARED(MomentsPartial, shared, kReduceSize<V>);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  MomentsPartial partials[V];
  {
    const MomentsAccumulator<T, V> moments(g, map, {task.mask}, task.x,
                                           [](const Pack<T, V>&) {});
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) partials[j] = moments.Partial(j);
  }
  ReduceColumns(g, map, partials, shared);
  if (!map.writes(g)) return;
  StoreColumns(g, partials, task.partials + map.PartialIndex(g));
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_MOMENTS_H_
