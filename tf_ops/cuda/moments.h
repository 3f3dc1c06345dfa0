// The first pass: partial moments of each channel of each chunk.

#ifndef KERAS_NORMS_CUDA_MOMENTS_H_
#define KERAS_NORMS_CUDA_MOMENTS_H_

#include "column_sums.h"
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

  // The number of the values of element j, and their sum.
  KERAS_NORMS_DEVICE Sums Total(int j) const {
    const float count = static_cast<float>(count_);
    return {count, count * pivot_[j] + sum_[j]};
  }

  // The sums of x - center and of its square.
  KERAS_NORMS_DEVICE Sums About(float center, int j) const {
    const float difference = pivot_[j] - center;
    const float sum = count_ * difference + sum_[j];
    return {sum, squares_[j] + difference * (sum_[j] + sum)};
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

// The mean of values with these totals, or 0 if there is none.
KERAS_NORMS_DEVICE float MeanOf(const Sums& total) {
  return total.first == 0 ? 0.0f : FastDivide(total.second, total.first);
}

// The moments of `count` values from their sums about `center`.
KERAS_NORMS_DEVICE MomentsPartial MomentsOf(float count, float center,
                                            const Sums& about) {
  const float centered_mean =
      count == 0 ? 0.0f : FastDivide(about.first, count);
  const float squares = about.second - about.first * centered_mean;
  return {center, centered_mean, squares < 0 ? 0.0f : squares, count};
}

// Reads x once: 1R. The threads of a column first add their totals, and then
// their sums about the mean of the column in this chunk.
template <class T, int V>
KERAS_NORMS_DEVICE void Moments(const keras_norms::MomentsTask& task) {
  KERAS_NORMS_SHARED(Sums, slots, ColumnSums<V>::kSlots);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  const MomentsAccumulator<T, V> moments(g, map, {task.mask}, task.x,
                                         [](const Pack<T, V>&) {});
  ColumnSums<V> columns(g, map, slots);
  Sums sums[V];
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) sums[j] = moments.Total(j);
  columns.Add(sums);
  const float count = columns.At(0).first;
  float center[V];
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    center[j] = MeanOf(columns.At(j));
    sums[j] = moments.About(center[j], j);
  }
  Barrier();
  columns.Add(sums);
  if (!map.writes(g)) return;
  MomentsPartial* const partials = task.partials + map.PartialIndex(g);
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    if (j >= g.column_channels) break;
    partials[j] = MomentsOf(count, center[j], columns.At(j));
  }
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_MOMENTS_H_
