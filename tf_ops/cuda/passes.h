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
  // keep(step, numbers) is called with all that is read.
  template <class F>
  KERAS_NORMS_DEVICE MomentsOf(const Course& course, Mask mask, const void* x,
                               const F& keep) {
    constexpr int n = kAtOnce<V, 1>;
    for (int k = 0; k < course.steps; k += n) {
      Pack<T, V> read[n];
      bool kept[n];
      int found = 0;
      KERAS_NORMS_UNROLL
      for (int i = 0; i < n; ++i) {
        kept[i] = k + i < course.steps && mask.Keeps(course, k + i);
        if (!kept[i]) continue;
        read[i].Load(x, course.At(k + i));
        keep(k + i, read[i]);
        ++found;
      }
      if (count_ == 0 && found > 0) Pivot(read, kept, found);
      KERAS_NORMS_UNROLL
      for (int i = 0; i < n; ++i) {
        if (kept[i]) Add(read[i]);
      }
      count_ += found;
    }
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
    const MomentsOf<T, V> moments(course, {task.mask}, task.x,
                                  [](int, const Pack<T, V>&) {});
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) parts[j] = moments.Part(j);
  }
  FoldColumns(task.geometry, course, parts, shared);
  if (!course.writes()) return;
  StoreColumns(task.geometry, parts, task.parts + course.Part());
}

// The coefficients of a thread's column.
template <int V>
struct Line {
  float center[V], scale[V], shift[V];

  KERAS_NORMS_DEVICE Line(const Geometry& g, const keras_norms::LineTask& line,
                          const Course& course) {
    if (course.steps == 0) return;
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const int c = course.channel + (g.last ? j : 0);
      const long long i = Entry(g, line, course.row, c);
      Set(j, line, c, line.center[i], line.scale[i], line.shift[i]);
    }
  }

  KERAS_NORMS_DEVICE Line() {}

  // From tables' entries, or from a group's mean, inverse and residual.
  KERAS_NORMS_DEVICE void Set(int j, const keras_norms::LineTask& line,
                              int channel, float c, float s, float h) {
    center[j] = c;
    scale[j] = s;
    shift[j] = h;
    if (line.group_size == 0) return;
    if (line.gamma != nullptr) scale[j] *= line.gamma[channel];
    const float beta = line.beta == nullptr ? 0.0f : line.beta[channel];
    shift[j] = beta - h * scale[j];
  }

  // Where a channel's are in tables, or its group's.
  static KERAS_NORMS_DEVICE long long Entry(const Geometry& g,
                                            const keras_norms::LineTask& line,
                                            long long row, int channel) {
    if (line.group_size == 0) return row * g.channels + channel;
    return row * (g.channels / line.group_size) + channel / line.group_size;
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
  const Course course(task.geometry, Backwards());
  const Line<V> line(task.geometry, task.line, course);
  const F f(task.line.function);
  EachPlace<T, V>(course, {task.mask}, task.x,
                  [&](int step, const Pack<T, V>& x, bool kept) {
                    float apart[V], z[V];
                    line.Apart(x, kept, apart);
                    line.Values(apart, z);
                    f.Values(z);
                    Pack<T, V>::Of(z).Store(task.y, course.At(step));
                  });
}

// 2R.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientSums(const keras_norms::SumsTask& task) {
  KERAS_NORMS_SHARED(SumsPart, shared, kFoldRoom<V>);
  const Course course(task.geometry, Block());
  SumsPart parts[V] = {};
  {
    const Line<V> line(task.geometry, task.line, course);
    const F f(task.line.function);
    EachPlace<T, V>(
        course, {task.mask}, task.x, task.dy,
        [&](int, const Pack<T, V>& x, const Pack<T, V>& dy, bool kept) {
          float apart[V], change[V];
          line.Apart(x, kept, apart);
          line.Changes(f, apart, dy, change);
          KERAS_NORMS_UNROLL
          for (int j = 0; j < V; ++j) {
            Merge(&parts[j], {change[j], change[j] * apart[j]});
          }
        });
  }
  FoldColumns(task.geometry, course, parts, shared);
  if (!course.writes()) return;
  StoreColumns(task.geometry, parts, task.parts + course.Part());
}

// 2R 1W.
template <class T, int V, class F>
KERAS_NORMS_DEVICE void GradientCombine(const keras_norms::CombineTask& task) {
  const Geometry& g = task.geometry;
  const Course course(g, Backwards());
  const Line<V> line(g, task.line, course);
  const F f(task.line.function);
  float b[V] = {}, d[V] = {};
  if (task.b != nullptr && course.steps > 0) {
    KERAS_NORMS_UNROLL
    for (int j = 0; j < V; ++j) {
      const int c = course.channel + (g.last ? j : 0);
      const long long i = Line<V>::Entry(g, task.line, course.row, c);
      b[j] = task.b[i];
      d[j] = task.d[i];
    }
  }
  EachPlace<T, V>(
      course, {task.mask}, task.x, task.dy,
      [&](int step, const Pack<T, V>& x, const Pack<T, V>& dy, bool kept) {
        float apart[V], change[V];
        line.Apart(x, kept, apart);
        line.Changes(f, apart, dy, change);
        KERAS_NORMS_UNROLL
        for (int j = 0; j < V; ++j) {
          change[j] *= line.scale[j];
          if (kept) change[j] += apart[j] * b[j] + d[j];
        }
        Pack<T, V>::Of(change).Store(task.dx, course.At(step));
      });
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_PASSES_H_
