// Pass 2: y = f((x - center) scale + shift).

#ifndef KERAS_NORMS_CPU_APPLY_H_
#define KERAS_NORMS_CPU_APPLY_H_

#include "activations.h"
#include "traversal.h"

namespace {

// The coefficients of one row: one entry per channel, or expanded (Traversal).
template <class S>
struct RowCoefficients {
  const S* center;
  const S* scale;
  const S* shift;
  // The gradient through the moments, or null.
  const S* slope;
  const S* offset;

  RowCoefficients row() const { return *this; }

  // The coefficients from entry i on.
  RowCoefficients operator+(int64_t i) const {
    return {center + i, scale + i, shift + i, slope ? slope + i : slope,
            offset ? offset + i : offset};
  }
};

template <class S, class A>
inline RowCoefficients<S> CoefficientsOf(const A& arguments, int64_t row,
                                         const void* slope = nullptr,
                                         const void* offset = nullptr) {
  const int64_t first = row * arguments.view.channels;
  const auto of_row = [first](const void* all) {
    return all ? static_cast<const S*>(all) + first : nullptr;
  };
  return {of_row(arguments.center), of_row(arguments.scale),
          of_row(arguments.shift), of_row(slope), of_row(offset)};
}

// Expands coefficients into a buffer that it owns.
template <class S>
class ExpandedCoefficients {
 public:
  explicit ExpandedCoefficients(const Traversal& traversal)
      : traversal_(traversal),
        width_(traversal.width()),
        buffer_(5 * traversal.width()) {}

  RowCoefficients<S> For(const RowCoefficients<S>& row, int64_t channel) {
    S* to = buffer_.get();
    return {traversal_.Expand(row.center, channel, to),
            traversal_.Expand(row.scale, channel, to + width_),
            traversal_.Expand(row.shift, channel, to + 2 * width_),
            traversal_.Expand(row.slope, channel, to + 3 * width_),
            traversal_.Expand(row.offset, channel, to + 4 * width_)};
  }

 private:
  const Traversal& traversal_;
  int64_t width_;
  Buffer<S> buffer_;
};

// Vectors of coefficients, in registers.
template <class V>
struct AffineParams {
  V center, scale, shift;

  // z = (x - center) scale + shift.
  V Apply(V centered) const { return centered * scale + shift; }
};

template <class V, class S>
KERAS_NORMS_INLINE inline AffineParams<V> LoadAffineParams(
    const RowCoefficients<S>& row, int64_t i) {
  return {Load<V>(row.center + i), Load<V>(row.scale + i),
          Load<V>(row.shift + i)};
}

// Loads x. Non-finite values at masked positions are read as 0.
template <class V, class T>
KERAS_NORMS_INLINE inline V LoadMasked(const T* x, const Runs& runs,
                                       int64_t i) {
  V value = Load<V>(x);
  if (!runs.mask) return value;
  const V finite = value - value == 0 ? value : V();
  return LoadMask<V>(runs, i) != 0 ? value : finite;
}

// Calls f(V(), run_count, runs, coefficients, i) for the vectors of a chunk.
// The vector at element i of each run uses the coefficients from entry i on.
template <class S, class F>
KERAS_NORMS_INLINE inline void ForEachVectorOfRuns(
    const Traversal& traversal, const RowCoefficients<S>& row,
    const MaskByte* mask, int64_t prefetch, const F& f) {
  ExpandedCoefficients<S> expanded(traversal);
  for (int64_t c = 0; c < traversal.separate_channels(); ++c) {
    const RowCoefficients<S> coefficients = expanded.For(row, c);
    ForEachRunGroup(traversal, c, 0, traversal.width(), mask, prefetch,
                [&](auto run_count, const Runs& runs) KERAS_NORMS_INLINE {
      ForEachVector<S>(runs.n, [&](auto vector, int64_t i) KERAS_NORMS_INLINE {
        f(vector, run_count, runs, coefficients, i);
      });
    });
  }
}

template <class T, class S>
inline void ApplyChunk(const View& view, const Chunk& chunk, const T* x,
                       const RowCoefficients<S>& row, Activation activation,
                       const MaskByte* mask, T* y, bool streams) {
  const Traversal traversal(view, chunk, mask != nullptr);
  streams = streams && traversal.aligned(y);
  WithActivation(activation, [&](auto f) {
    ForEachVectorOfRuns(traversal, row, mask, kPrefetchBytes / sizeof(T),
                        [&](auto vector, auto run_count, const Runs& runs,
                            const RowCoefficients<S>& coefficients,
                            int64_t i) KERAS_NORMS_INLINE {
      using V = decltype(vector);
      const AffineParams<V> affine = LoadAffineParams<V>(coefficients, i);
      for (int r = 0; r < run_count.value; ++r) {
        const int64_t at = runs.begin + r * runs.stride + i;
        __builtin_prefetch(x + at + runs.prefetch);
        const V centered = LoadMasked<V>(x + at, runs, i) - affine.center;
        Put(f(affine.Apply(centered)), y + at, streams);
      }
    });
  });
  if (streams) EndStreams();
}

template <class T, class S>
void Apply(const keras_norms::ApplyArguments& arguments,
           const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const MaskByte* const mask = static_cast<const MaskByte*>(arguments.mask);
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks();
  const bool streams = chunks.streams(y, x);
  // Backwards, because the cache holds most of the end if x was read before.
  ParallelFor(workers, view.rows * row_chunks, [&](int64_t item) {
    const int64_t i = view.rows * row_chunks - 1 - item;
    const Chunk chunk = chunks.at(i / row_chunks, i % row_chunks);
    ApplyChunk(view, chunk, x, CoefficientsOf<S>(arguments, chunk.row),
               arguments.activation, mask, y, streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_APPLY_H_
