// Group norm with one read of x, 1R 1W: blocks keep what they read in shared
// memory, pool its moments, and apply. Where a row is more than one block's
// memory holds, blocks of a cluster share it, and read each other's moments.
//
// A block has the columns of whole groups. Its memory beside what it keeps,
// first for folding parts, then for the moments of its channels:
// kFoldRoom<V> parts.

#ifndef KERAS_NORMS_CUDA_FUSED_H_
#define KERAS_NORMS_CUDA_FUSED_H_

#include "line.h"
#include "moments.h"

namespace {

// A group's, as the second pass takes it.
struct GroupLine {
  float center;
  float residual;
  float inverse;
};

// The channels' moments into groups', by some threads for each, side by side.
KERAS_NORMS_DEVICE void PoolGroups(const MomentsPart* channels, int size,
                                   int count, int threads, MomentsPart* groups,
                                   MomentsPart* shared) {
  int lanes = 1;
  while (lanes < size && lanes * 2 * count <= threads) lanes *= 2;
  const int lane = Thread() % lanes;
  for (int first = 0; first < count; first += threads / lanes) {
    const int group = first + Thread() / lanes;
    const bool works = Thread() / lanes < threads / lanes && group < count;
    MomentsPart mine[1] = {};
    if (works) {
      for (int i = lane; i < size; i += lanes) {
        Merge(&mine[0], channels[group * size + i]);
      }
    }
    Fold(mine, lane, lanes, 1, shared);
    if (works && lane == 0) groups[group] = mine[0];
  }
}

// Of so many blocks.
KERAS_NORMS_DEVICE void BarrierOf(int blocks) {
  if (blocks == 1) {
    Barrier();
  } else {
    ClusterBarrier();
  }
}

template <class T, int V, class F>
KERAS_NORMS_DEVICE void Fused(const keras_norms::FusedTask& task) {
  KERAS_NORMS_SHARED(MomentsPart, shared, kFoldRoom<1>);
  KERAS_NORMS_SHARED(MomentsPart, groups, kThreads);
  KERAS_NORMS_SHARED(GroupLine, lines, kThreads);
  const Geometry& g = task.geometry;
  const Course course(g, Block());
  const int size = task.line.group_size;
  const int channels = g.columns * g.column_channels;
  const int count = channels / size;
  const int first = course.channel / channels * channels;
  MomentsPart* const room = reinterpret_cast<MomentsPart*>(Dynamic());
  Pack<T, V>* const kept =
      reinterpret_cast<Pack<T, V>*>(room + kFoldRoom<V>) + Thread();
  const int threads = g.columns * g.lanes;

  MomentsPart parts[V];
  {
    Pack<T, V>* next = kept;
    const MomentsOf<T, V> moments(g, course, {}, task.x,
                                  [&](const Pack<T, V>& x) {
                                    *next = x;
                                    next += threads;
                                  });
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) parts[j] = moments.Part(j);
  }
  FoldColumns(g, course, parts, room);
  if (course.lane == 0) StoreColumns(g, parts, room + course.channel - first);
  Barrier();
  PoolGroups(room, size, count, threads, groups, shared);
  BarrierOf(g.chunks);

  for (int t = Thread(); t < count; t += threads) {
    MomentsPart all = *Peer(&groups[t], 0);
    for (int rank = 1; rank < g.chunks; ++rank) {
      Merge(&all, *Peer(&groups[t], rank));
    }
    const double mean = static_cast<double>(all.pivot) + all.offset;
    const double variance = static_cast<double>(all.squares) / all.count;
    const float near = static_cast<float>(mean);
    lines[t] = {near, static_cast<float>(mean - near),
                static_cast<float>(1.0 / sqrt(variance + task.epsilon))};
    if (course.chunk != 0) continue;
    const long long i = course.row * (g.channels / size) + first / size + t;
    task.mean[i] = lines[t].center;
    task.residual[i] = lines[t].residual;
    task.inverse[i] = lines[t].inverse;
  }
  // Also: no block is gone while another reads its groups.
  BarrierOf(g.chunks);

  Line<V> line;
  KERAS_NORMS_UNROLL
  for (int j = 0; j < V; ++j) {
    const int c = course.channel + (g.last ? j : 0);
    const GroupLine& group = lines[(c - first) / size];
    line.center[j] = group.center;
    line.scale[j] = group.inverse;
    line.shift[j] = group.residual;
  }
  line.OfGroups(g, task.line, course);
  const F f(task.line.function);
  const Pack<T, V>* next = kept;
  EachSteps<1>(g, course, [&](auto, long long at, long long) {
    float apart[V], z[V];
    line.Apart(*next, true, apart);
    line.Values(apart, z);
    f.Values(z);
    Pack<T, V>::Of(z).Store(task.y, at);
    next += threads;
  });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_FUSED_H_
