// Group norm with one read of x, 1R 1W: blocks cache what they read in shared
// memory, combine its moments, and apply them. If a row exceeds the shared
// memory of one block, the blocks of a cluster share it and read each other's
// moments.
//
// A block has the columns of whole groups. Before the cached vectors, its
// dynamic shared memory holds kReduceSize<V> partials: first those of
// BlockReduce, then the moments of the block's channels.

#ifndef KERAS_NORMS_CUDA_FUSED_H_
#define KERAS_NORMS_CUDA_FUSED_H_

#include "affine.h"
#include "moments.h"

namespace {

using keras_norms::kMaxCluster;

struct GroupStatistics {
  float mean;
  float residual;
  float rstd;
};

// The groups of channels that a block has.
struct BlockOfGroups {
  int threads;
  int group_size;
  int groups;
  int channel;  // the first

  KERAS_NORMS_DEVICE BlockOfGroups(const Geometry& g, const ThreadMap& map,
                                   int group_size)
      : threads(g.columns * g.column_threads), group_size(group_size) {
    const int channels = g.columns * g.column_channels;
    groups = channels / group_size;
    channel = map.channel / channels * channels;
  }

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

// Merges the partials of a block's channels into those of its groups. Adjacent
// threads share a group.
template <class P>
KERAS_NORMS_DEVICE void PoolGroups(const P* channels, int group_size,
                                   int block_groups, int threads, P* groups,
                                   P* shared) {
  int group_threads = 1;
  while (group_threads < group_size &&
         group_threads * 2 * block_groups <= threads) {
    group_threads *= 2;
  }
  const int thread_in_group = Thread() % group_threads;
  for (int first = 0; first < block_groups; first += threads / group_threads) {
    const int group = first + Thread() / group_threads;
    // The last threads have no group if group_threads does not divide
    // `threads`. They take part in the barriers of BlockReduce.
    const bool has_group = Thread() / group_threads < threads / group_threads &&
                           group < block_groups;
    P mine[1] = {};
    if (has_group) {
      for (int i = thread_in_group; i < group_size; i += group_threads) {
        Merge(&mine[0], channels[group * group_size + i]);
      }
    }
    BlockReduce(mine, thread_in_group, group_threads, 1, shared);
    if (has_group && thread_in_group == 0) groups[group] = mine[0];
  }
}

// The partials of one group in all blocks of the cluster, merged.
template <class P>
KERAS_NORMS_DEVICE P MergedOverBlocks(const P* group, int blocks) {
  // All reads are in flight at once.
  P ranks[kMaxCluster];
  KERAS_NORMS_UNROLL
  for (int rank = 0; rank < kMaxCluster; ++rank) {
    if (rank < blocks) ranks[rank] = *Peer(group, rank);
  }
  P all = ranks[0];
  KERAS_NORMS_UNROLL
  for (int rank = 1; rank < kMaxCluster; ++rank) {
    if (rank < blocks) Merge(&all, ranks[rank]);
  }
  return all;
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
  KERAS_NORMS_SHARED(MomentsPartial, shared, kReduceSize<1>);
  KERAS_NORMS_SHARED(MomentsPartial, groups, kThreads);
  KERAS_NORMS_SHARED(GroupStatistics, statistics, kThreads);
  const Geometry& g = task.geometry;
  const ThreadMap map(g, Block());
  const BlockOfGroups block(g, map, task.affine.group_size);
  MomentsPartial* const reduce_buffer =
      reinterpret_cast<MomentsPartial*>(DynamicShared());
  Pack<T, V>* const cached =
      reinterpret_cast<Pack<T, V>*>(reduce_buffer + kReduceSize<V>) + Thread();

  MomentsPartial partials[V];
  {
    Pack<T, V>* next = cached;
    const MomentsAccumulator<T, V> moments(g, map, {}, task.x,
                                           [&](const Pack<T, V>& x) {
                                             *next = x;
                                             next += block.threads;
                                           });
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) partials[j] = moments.Partial(j);
  }
  ReduceColumns(g, map, partials, reduce_buffer);
  if (map.thread_in_column == 0) {
    StoreColumns(g, partials, reduce_buffer + map.channel - block.channel);
  }
  Barrier();
  PoolGroups(reduce_buffer, block.group_size, block.groups, block.threads,
             groups, shared);
  BarrierOfBlocks(g.chunks);

  for (int t = Thread(); t < block.groups; t += block.threads) {
    const MomentsPartial all = MergedOverBlocks(&groups[t], g.chunks);
    const double mean = static_cast<double>(all.pivot) + all.centered_mean;
    const double variance = static_cast<double>(all.squares) / all.count;
    const float rounded = static_cast<float>(mean);
    statistics[t] = {rounded, static_cast<float>(mean - rounded),
                     static_cast<float>(1.0 / sqrt(variance + task.epsilon))};
    // All blocks of a cluster compute the same statistics. The first writes
    // them.
    if (map.chunk != 0) continue;
    const long long i = block.FirstGroup(g, map) + t;
    task.mean[i] = statistics[t].mean;
    task.variance[i] = static_cast<float>(variance);
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
