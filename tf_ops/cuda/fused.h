// Group norm with one read of x, 1R 1W: blocks cache what they read in shared
// memory, combine its moments, and apply them. If a row exceeds the shared
// memory of one block, the blocks of a cluster share it and read each other's
// moments.
//
// A block has the columns of whole groups. Its dynamic shared memory holds the
// slots of ColumnSums, and then the cached vectors.

#ifndef KERAS_NORMS_CUDA_FUSED_H_
#define KERAS_NORMS_CUDA_FUSED_H_

#include "affine.h"
#include "moments.h"

namespace {

using keras_norms::Divisor;
using keras_norms::kMaxCluster;

struct GroupStatistics {
  float mean;
  float residual;
  float rstd;
};

// The groups of channels that a block has.
struct BlockOfGroups {
  int threads;
  const Divisor& group_size;
  int groups;
  int channel;  // the first

  KERAS_NORMS_DEVICE BlockOfGroups(const Geometry& g, const ThreadMap& map,
                                   const Divisor& group_size)
      : threads(g.row_threads),
        group_size(group_size),
        groups(g.columns * g.column_channels / group_size),
        channel(map.tile * g.columns * g.column_channels) {}

  // The index of the first group in statistics of [rows, groups].
  KERAS_NORMS_DEVICE long long FirstGroup(const Geometry& g,
                                          const ThreadMap& map) const {
    return map.row * (g.channels / group_size) + channel / group_size;
  }

  // The group of element j of a thread's vectors, counted from the first.
  KERAS_NORMS_DEVICE int GroupOf(const Geometry& g, const ThreadMap& map,
                                 int j) const {
    const int c = map.channel + (g.channels_last ? j : 0);
    return (c - channel) / group_size;
  }
};

// The shared memory of AddGroups.
template <int V>
constexpr int kGroupSlots = V * kThreads / 4;

// Adds the sums of the channels of each group of the block, and calls
// use(group, sum) once for each group. Eight threads share a large group.
template <int V, class U>
KERAS_NORMS_DEVICE void AddGroups(const ColumnSums<V>& columns,
                                  const BlockOfGroups& block, Sums* shared,
                                  const U& use) {
  constexpr int kThreadsOfLarge = 8;
  const int size = block.group_size;
  const bool large = size >= 2 * kThreadsOfLarge;
  const int threads = large ? kThreadsOfLarge : 1;
  for (int i = Thread(); i < block.groups * threads; i += block.threads) {
    const int group = large ? i / kThreadsOfLarge : i;
    const int first = large ? i % kThreadsOfLarge : 0;
    Sums sum = {};
    for (int c = first; c < size; c += threads) {
      Add(&sum, columns.OfChannel(group * size + c));
    }
    if (large) {
      shared[i] = sum;
    } else {
      use(group, sum);
    }
  }
  if (!large) return;
  Barrier();
  for (int group = Thread(); group < block.groups; group += block.threads) {
    Sums sum = {};
    KERAS_NORMS_UNROLL
    for (int i = 0; i < kThreadsOfLarge; ++i) {
      Add(&sum, shared[group * kThreadsOfLarge + i]);
    }
    use(group, sum);
  }
}

// Calls use(rank, partial) for what the blocks of the cluster have at `here`,
// in the order of their ranks.
template <class P, class U>
KERAS_NORMS_DEVICE void ForEachRank(const P* here, int blocks, const U& use) {
  // All reads are in flight at once.
  P ranks[kMaxCluster];
  KERAS_NORMS_UNROLL
  for (int rank = 0; rank < kMaxCluster; ++rank) {
    if (rank < blocks) ranks[rank] = *Peer(here, rank);
  }
  KERAS_NORMS_UNROLL
  for (int rank = 0; rank < kMaxCluster; ++rank) {
    if (rank < blocks) use(rank, ranks[rank]);
  }
}

// The moments of one group in all blocks of the cluster, about the pivot of the
// first block. Only the last blocks can be empty.
KERAS_NORMS_DEVICE MomentsPartial MomentsOverBlocks(const MomentsPartial* group,
                                                    int blocks) {
  float count = 0, pivot = 0;
  Sums about = {};
  ForEachRank(group, blocks, [&](int rank, const MomentsPartial& partial) {
    if (rank == 0) pivot = partial.pivot;
    const float difference = (partial.pivot - pivot) + partial.centered_mean;
    const float sum = partial.count * difference;
    count += partial.count;
    Add(&about, {sum, partial.squares + sum * difference});
  });
  return MomentsOf(count, pivot, about);
}

KERAS_NORMS_DEVICE void BarrierOfBlocks(int blocks) {
  if (blocks == 1) {
    Barrier();
  } else {
    ClusterBarrier();
  }
}

template <class T, int V, class F>
KERAS_NORMS_DEVICE void Fused(const keras_norms::FusedTask& task) {
  KERAS_NORMS_SHARED(Sums, shared, kGroupSlots<V>);
  KERAS_NORMS_SHARED(MomentsPartial, groups, kThreads);
  KERAS_NORMS_SHARED(GroupStatistics, statistics, kThreads);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  const BlockOfGroups block(g, map, task.affine.group_size);
  Sums* const slots = reinterpret_cast<Sums*>(DynamicShared());
  Pack<T, V>* const cached =
      reinterpret_cast<Pack<T, V>*>(slots + ColumnSums<V>::kSlots) + Thread();

  {
    Pack<T, V>* next = cached;
    const MomentsAccumulator<T, V> moments(g, map, {}, task.x,
                                           [&](const Pack<T, V>& x) {
                                             *next = x;
                                             next += block.threads;
                                           });
    ColumnSums<V> columns(g, map, slots);
    Sums sums[V];
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) sums[j] = moments.Total(j);
    columns.Add(sums);
    AddGroups(columns, block, shared, [&](int t, const Sums& total) {
      groups[t].pivot = MeanOf(total);
      groups[t].count = total.first;
    });
    Barrier();
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      sums[j] = moments.About(groups[block.GroupOf(g, map, j)].pivot, j);
    }
    columns.Add(sums);
    AddGroups(columns, block, shared, [&](int t, const Sums& about) {
      groups[t] = MomentsOf(groups[t].count, groups[t].pivot, about);
    });
  }
  BarrierOfBlocks(g.chunks);

  for (int t = Thread(); t < block.groups; t += block.threads) {
    const MomentsPartial all = MomentsOverBlocks(&groups[t], g.chunks);
    const float mean = all.pivot + all.centered_mean;
    const float variance = all.squares / all.count;
    // The residual is what rounding takes from the sum. It is exact unless the
    // pivot is the smaller term, which is then near 0.
    statistics[t] = {mean, (all.pivot - mean) + all.centered_mean,
                     1.0f / sqrtf(variance + task.epsilon)};
    // All blocks of a cluster compute the same statistics. The first writes
    // them.
    if (map.chunk != 0) continue;
    const long long i = block.FirstGroup(g, map) + t;
    task.mean[i] = mean;
    task.variance[i] = variance;
    task.residual[i] = statistics[t].residual;
    task.rstd[i] = statistics[t].rstd;
  }
  // The threads of this block read all statistics, and no block may exit while
  // another one reads its groups.
  BarrierOfBlocks(g.chunks);

  AffineParams<V> affine;
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    const GroupStatistics& group = statistics[block.GroupOf(g, map, j)];
    // ApplyGammaBeta turns the statistics of groups into center, scale and
    // shift. It takes them in this order.
    affine.center[j] = group.mean;
    affine.scale[j] = group.rstd;
    affine.shift[j] = group.residual;
  }
  affine.ApplyGammaBeta(g, task.affine, map);
  const F f(task.affine.activation);
  const Pack<T, V>* next = cached;
  // Single steps, because reads of shared memory need no batches. The steps
  // have the same order as those that filled `cached`, whatever the batches.
  ForEachStep<1>(g, map, [&](auto, long long element, long long) {
    float centered[V], z[V];
    affine.Center(*next, /*valid=*/true, centered);
    affine.Apply(centered, z);
    f.Values(z);
    Pack<T, V>::Of(z).Store(task.y, element);
    next += block.threads;
  });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_FUSED_H_
