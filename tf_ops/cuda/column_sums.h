// How the threads of a block add the sums of its columns, and of its groups of
// channels: in a fixed order, and by all threads at once.
//
// It uses shared memory instead of warp shuffles: if the channels are last, the
// threads of a column belong to different warps, and their number need not be a
// power of two. One order of summation serves every layout, and the emulation
// of the tests runs the functions unchanged.

#ifndef KERAS_NORMS_CUDA_COLUMN_SUMS_H_
#define KERAS_NORMS_CUDA_COLUMN_SUMS_H_

#include "thread_map.h"

namespace {

using keras_norms::kThreads;
using keras_norms::Sums;

KERAS_NORMS_DEVICE void Add(Sums* into, const Sums& other) {
  into->first += other.first;
  into->second += other.second;
}

// Sums of the channels of columns. Each thread has V channels, or if the
// channels are first, V elements of one channel.
template <int V>
class ColumnSums {
 public:
  // The shared memory that it needs: one element for each channel of a thread.
  static constexpr int kSlots = V * kThreads;

  KERAS_NORMS_DEVICE ColumnSums(const Geometry& g, const ThreadMap& map,
                                Sums* slots)
      : slots_(slots),
        channels_last_(g.channels_last),
        column_threads_(g.column_threads),
        index_(map.thread_in_column),
        stride_(map.thread_stride),
        first_(Thread() - map.thread_in_column * map.thread_stride) {}

  // Adds the sums of the threads of each column. All threads of the block must
  // call it, and then any of them may call At and OfChannel, up to the next
  // barrier. A thread adds about eight of the sums of one channel at a time.
  KERAS_NORMS_DEVICE void Add(const Sums (&mine)[V]) {
    Write(mine);
    int n = column_threads_;
    while (n >= 2 * kItems) {
      const int results = n / kItems;
      const int channel = channels_last_ ? index_ % V : 0;
      const int result = channels_last_ ? index_ / V : index_;
      Sums sum = {};
      Barrier();
      if (result < results) sum = Total(channel, result, n, results);
      Barrier();
      if (result < results) Slot(channel, result) = sum;
      n = results;
    }
    Barrier();
    if (n > 1) {
      for (int channel = index_; channel < (channels_last_ ? V : 1);
           channel += column_threads_) {
        // No other thread reads the first slot of this channel.
        Slot(channel, 0) = Rest(channel, 1, n, 1, Slot(channel, 0));
      }
      Barrier();
    }
  }

  // The sums of element j of this thread's vectors.
  KERAS_NORMS_DEVICE Sums& At(int j) const {
    return Slot(channels_last_ ? j : 0, 0);
  }

  // The sums of a channel of the block, if it has one row.
  KERAS_NORMS_DEVICE const Sums& OfChannel(int channel) const {
    return slots_[channels_last_ ? channel % V * kThreads + channel / V
                                 : channel * column_threads_];
  }

 private:
  static constexpr int kItems = 8;

  KERAS_NORMS_DEVICE Sums& Slot(int channel, int thread_in_column) const {
    return slots_[channel * kThreads + first_ + thread_in_column * stride_];
  }

  KERAS_NORMS_DEVICE void Write(const Sums (&mine)[V]) {
    if (channels_last_) {
      KERAS_NORMS_UNROLL
      for (int j = 0; j < V; ++j) slots_[j * kThreads + Thread()] = mine[j];
    } else {
      Sums all = mine[0];
      KERAS_NORMS_UNROLL
      for (int j = 1; j < V; ++j) ::Add(&all, mine[j]);
      slots_[Thread()] = all;
    }
  }

  // The sum of every `step`-th of n items from `item` on, which are at least
  // kItems. Their reads are in flight at once.
  KERAS_NORMS_DEVICE Sums Total(int channel, int item, int n, int step) const {
    Sums sum = {};
    KERAS_NORMS_UNROLL
    for (int i = 0; i < kItems; ++i) {
      ::Add(&sum, Slot(channel, item));
      item += step;
    }
    return Rest(channel, item, n, step, sum);
  }

  KERAS_NORMS_DEVICE Sums Rest(int channel, int item, int n, int step,
                               Sums sum) const {
    for (; item < n; item += step) ::Add(&sum, Slot(channel, item));
    return sum;
  }

  Sums* const slots_;
  const bool channels_last_;
  const int column_threads_;
  const int index_;
  const int stride_;
  const int first_;  // the first thread of the column
};

}  // namespace

#endif  // KERAS_NORMS_CUDA_COLUMN_SUMS_H_
