// The kernels that read x. A part is of one chunk of places and one channel.

#ifndef KERAS_NORMS_CUDA_PASSES_H_
#define KERAS_NORMS_CUDA_PASSES_H_

#include "activations.h"
#include "course.h"
#include "parts.h"
#include "tasks.h"

namespace {

using keras_norms::kThreads;

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
    EachSteps<kAtOnce<V, 1>>(g, course,
                             [&](auto count, long long at, long long position) {
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
                               if (count_ == 0 && found > 0)
                                 Pivot(read, kept, found);
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
    return Fold(parts, course.lane, g.lanes, course.lane_apart, shared);
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

// The coefficients of a thread's column.
template <int V>
struct Line {
  float center[V], scale[V], shift[V];

  KERAS_NORMS_DEVICE Line(const Geometry& g, const keras_norms::LineTask& line,
                          const Course& course) {
    if (course.steps <= 0) return;
    Entries(g, line, course, line.center, center);
    Entries(g, line, course, line.scale, scale);
    Entries(g, line, course, line.shift, shift);
    if (line.group_size == 0) return;
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const int c = course.channel + (g.last ? j : 0);
      Set(j, line, c, center[j], scale[j], shift[j]);
    }
  }

  // Of a table with an entry for each channel of a row, or for each group.
  static KERAS_NORMS_DEVICE void Entries(const Geometry& g,
                                         const keras_norms::LineTask& line,
                                         const Course& course,
                                         const float* table, float (&to)[V]) {
    const bool whole = line.group_size == 0;
    const int size = whole ? 1 : line.group_size;
    table += course.row * (g.channels / size);
    if constexpr (V > 1) {
      const float* const first = table + course.channel;
      if (whole && g.last && Aligned(first)) {
        KERAS_NORMS_UNROLL
        for (int j = 0; j < V; j += 4) {
          Pack<Float, 4> pack;
          pack.Load(first, j);
          KERAS_NORMS_UNROLL
          for (int i = 0; i < 4; ++i) to[j + i] = pack.Get(i);
        }
        return;
      }
    }
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      to[j] = table[(course.channel + (g.last ? j : 0)) / size];
    }
  }

  KERAS_NORMS_DEVICE Line() {}

  // From a group's mean, inverse and residual.
  KERAS_NORMS_DEVICE void Set(int j, const keras_norms::LineTask& line,
                              int channel, float c, float s, float h) {
    center[j] = c;
    scale[j] = s;
    if (line.gamma != nullptr) scale[j] *= line.gamma[channel];
    const float beta = line.beta == nullptr ? 0.0f : line.beta[channel];
    shift[j] = beta - h * scale[j];
  }

  // x - center. Where masks are false, of 0 if x is no number.
  template <class T>
  KERAS_NORMS_DEVICE void Apart(const Pack<T, V>& x, bool kept,
                                float (&apart)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      float found = x.Get(j);
      if (!kept && found - found != 0.0f) found = 0.0f;
      apart[j] = found - center[j];
    }
  }

  KERAS_NORMS_DEVICE void Values(const float (&apart)[V], float (&z)[V]) const {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) z[j] = apart[j] * scale[j] + shift[j];
  }

  // g = dy f'(z).
  template <class F, class T>
  KERAS_NORMS_DEVICE void Changes(const F& f, const float (&apart)[V],
                                  const Pack<T, V>& dy,
                                  float (&change)[V]) const {
    float z[V];
    Values(apart, z);
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) change[j] = dy.Get(j);
    f.Gradients(z, change);
  }
};

// Chunks in the order that is the reverse of the moments' (and sums'): what
// was read last is still in the cache.
KERAS_NORMS_DEVICE unsigned Backwards() { return Blocks() - 1 - Block(); }

// 1R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void Apply(const keras_norms::ApplyTask& task) {
  const Geometry& g = task.geometry;
  const Course course(g, Backwards());
  const Line<V> line(g, task.line, course);
  const Mask<V> mask = {task.mask};
  const F f(task.line.function);
  EachSteps<kAtOnce<V, 1>>(
      g, course, [&](auto count, long long at, long long position) {
        constexpr int n = count.value;
        Pack<T, V> x[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i)
          x[i].Load(task.x, at + i * course.step_apart);
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          float apart[V], z[V];
          line.Apart(x[i], mask.Keeps(position + i * g.lanes), apart);
          line.Values(apart, z);
          f.Values(z);
          Pack<T, V>::Of(z).Store(task.y, at + i * course.step_apart);
        }
      });
}

// use(at, apart, change, kept) for all places: x - center, and dy f'(z).
template <class T, int V, class F, class U>
KERAS_NORMS_DEVICE void EachChange(const Geometry& g, const Course& course,
                                   const Line<V>& line, int function,
                                   Mask<V> mask, const void* x, const void* dy,
                                   const U& use) {
  const F f(function);
  EachSteps<kAtOnce<V, 2>>(
      g, course, [&](auto count, long long at, long long position) {
        constexpr int n = count.value;
        Pack<T, V> read[n], other[n];
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          read[i].Load(x, at + i * course.step_apart);
          other[i].Load(dy, at + i * course.step_apart);
        }
        KERAS_NORMS_UNROLL
        for (int i = 0; i < n; ++i) {
          const bool kept = mask.Keeps(position + i * g.lanes);
          float apart[V], change[V];
          line.Apart(read[i], kept, apart);
          line.Changes(f, apart, other[i], change);
          use(at + i * course.step_apart, apart, change, kept);
        }
      });
}

// 2R.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientSums(const keras_norms::SumsTask& task) {
  KERAS_NORMS_SHARED(SumsPart, shared, kFoldRoom<V>);
  const Geometry& g = task.geometry;
  const Course course(g, Block());
  SumsPart parts[V] = {};
  {
    const Line<V> line(g, task.line, course);
    EachChange<T, V, F>(g, course, line, task.line.function, {task.mask},
                        task.x, task.dy,
                        [&](long long, const float (&apart)[V],
                            const float (&change)[V], bool) {
                          KERAS_NORMS_UNROLL
                          for (int j = 0; j < V; ++j) {
                            Merge(&parts[j], {change[j], change[j] * apart[j]});
                          }
                        });
  }
  FoldColumns(g, course, parts, shared);
  if (!course.writes(g)) return;
  StoreColumns(g, parts, task.parts + course.Part(g));
}

// 2R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientCombine(const keras_norms::CombineTask& task) {
  const Geometry& g = task.geometry;
  const Course course(g, Backwards());
  const Line<V> line(g, task.line, course);
  float b[V] = {}, d[V] = {};
  if (task.b != nullptr && course.steps > 0) {
    Line<V>::Entries(g, task.line, course, task.b, b);
    Line<V>::Entries(g, task.line, course, task.d, d);
  }
  EachChange<T, V, F>(g, course, line, task.line.function, {task.mask}, task.x,
                      task.dy,
                      [&](long long at, const float (&apart)[V],
                          const float (&change)[V], bool kept) {
                        float dx[V];
                        KERAS_NORMS_UNROLL
                        for (int j = 0; j < V; ++j) {
                          dx[j] = change[j] * line.scale[j];
                          if (kept) dx[j] += apart[j] * b[j] + d[j];
                        }
                        Pack<T, V>::Of(dx).Store(task.dx, at);
                      });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PASSES_H_
