// The gradient of pass 2. With g = dy f'((x - center) scale + shift), it
// computes the sums of g and of g (x - center), and then
// dx = g scale + (x - center) slope + offset.

#ifndef KERAS_NORMS_CPU_GRADIENT_H_
#define KERAS_NORMS_CPU_GRADIENT_H_

#include "apply.h"
#include "sums.h"

namespace {

// Computes the sums of each channel of a chunk.
template <class T, class S>
inline void ChunkSums(const View& view, const Chunk& chunk, const T* x,
                      const T* dy, const RowCoefficients<S>& row,
                      Activation activation, const MaskByte* mask,
                      double* sum_g, double* sum_g_centered) {
  const Traversal traversal(view, chunk, mask != nullptr);
  ExpandedCoefficients<S> expanded(traversal);
  WithActivation(activation, [&](auto f) {
    ChannelSums<S>(
        traversal, mask, kPrefetchBytes / 2 / sizeof(T), sum_g, sum_g_centered,
        [&](int64_t c) { return expanded.For(row, c); },
        [&](auto run_count, const Runs& runs,
            const RowCoefficients<S>& coefficients,
            Sums<S>* sums) KERAS_NORMS_INLINE {
          ForEachVector<S>(
              runs.n, [&](auto vector, int64_t i) KERAS_NORMS_INLINE {
            using V = decltype(vector);
            const AffineParams<V> affine = LoadAffineParams<V>(coefficients, i);
            V sum_g = V(), sum_g_centered = V();
            for (int r = 0; r < run_count.value; ++r) {
              const int64_t at = runs.begin + r * runs.stride + i;
              __builtin_prefetch(x + at + runs.prefetch);
              __builtin_prefetch(dy + at + runs.prefetch);
              const V centered = LoadMasked<V>(x + at, runs, i) - affine.center;
              const V g = f.Gradient(affine.Apply(centered), Load<V>(dy + at));
              sum_g += g;
              sum_g_centered += g * centered;
            }
            sums->Add(i, sum_g, sum_g_centered);
          });
        });
  });
}

template <class T, class S>
inline void ChunkCombine(const View& view, const Chunk& chunk, const T* x,
                         const T* dy, const RowCoefficients<S>& row,
                         Activation activation, const MaskByte* mask, T* dx,
                         bool streams) {
  const Traversal traversal(view, chunk, mask != nullptr);
  streams = streams && traversal.aligned(dx);
  const bool through_moments = row.slope != nullptr;
  WithActivation(activation, [&](auto f) {
    ForEachVectorOfRuns(traversal, row, mask, kPrefetchBytes / 2 / sizeof(T),
                        [&](auto vector, auto run_count, const Runs& runs,
                            const RowCoefficients<S>& coefficients,
                            int64_t i) KERAS_NORMS_INLINE {
      using V = decltype(vector);
      const AffineParams<V> affine = LoadAffineParams<V>(coefficients, i);
      const V slope = through_moments ? Load<V>(coefficients.slope + i) : V();
      const V offset = through_moments ? Load<V>(coefficients.offset + i) : V();
      for (int r = 0; r < run_count.value; ++r) {
        const int64_t at = runs.begin + r * runs.stride + i;
        __builtin_prefetch(x + at + runs.prefetch);
        __builtin_prefetch(dy + at + runs.prefetch);
        const V centered = LoadMasked<V>(x + at, runs, i) - affine.center;
        const V g = f.Gradient(affine.Apply(centered), Load<V>(dy + at));
        V of_moments = V();
        if (through_moments) of_moments = centered * slope + offset;
        if (runs.mask) {
          of_moments = LoadMask<V>(runs, i) != 0 ? of_moments : V();
        }
        Put(g * affine.scale + of_moments, dx + at, streams);
      }
    });
  });
  if (streams) EndStreams();
}

// Calls use(row, &coefficients, sum_g, sum_g_centered) with the sums of each
// row, in float64. coefficients_of(row) returns the row's coefficients.
template <class T, class S, class F, class R>
inline void ForEachRowSums(const View& view, const T* x, const T* dy,
                           Activation activation, const MaskByte* mask,
                           const Workers& workers, const R& coefficients_of,
                           const F& use) {
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks(), channels = view.channels;
  // Adds the partials of all chunks of a row to the first.
  const auto merge = [channels](double* partials, int64_t slots) {
    for (int64_t k = 1; k < slots; ++k) {
      const double* partial = partials + k * 2 * channels;
      for (int64_t c = 0; c < 2 * channels; ++c) partials[c] += partial[c];
    }
  };
  const auto sum_chunk = [&](int64_t row, int64_t k,
                             const RowCoefficients<S>& coefficients,
                             double* partial) {
    ChunkSums<T, S>(view, chunks.at(row, k), x, dy, coefficients, activation,
                    mask, partial, partial + channels);
  };
  if (chunks.by_rows(workers)) {
    ParallelFor(workers, view.rows, [&](int64_t row) {
      Buffer<double> partials(row_chunks * 2 * channels);
      auto coefficients = coefficients_of(row);
      for (int64_t k = 0; k < row_chunks; ++k) {
        sum_chunk(row, k, coefficients.row(),
                  partials.get() + k * 2 * channels);
      }
      merge(partials.get(), row_chunks);
      use(row, &coefficients, partials.get(), partials.get() + channels);
    });
    return;
  }
  Buffer<double> partials(view.rows * row_chunks * 2 * channels);
  ParallelFor(workers, view.rows * row_chunks, [&](int64_t i) {
    auto coefficients = coefficients_of(i / row_chunks);
    sum_chunk(i / row_chunks, i % row_chunks, coefficients.row(),
              partials.get() + i * 2 * channels);
  });
  ParallelFor(workers, view.rows, [&](int64_t row) {
    double* partial = partials.get() + row * row_chunks * 2 * channels;
    merge(partial, row_chunks);
    auto coefficients = coefficients_of(row);
    use(row, &coefficients, partial, partial + channels);
  });
}

template <class T, class S>
void GradientSums(const keras_norms::GradientSumsArguments& arguments,
                  const Workers& workers) {
  const int64_t channels = arguments.view.channels;
  S* const sums_g = static_cast<S*>(arguments.sum_g);
  S* const sums_g_centered = static_cast<S*>(arguments.sum_g_centered);
  ForEachRowSums<T, S>(
      arguments.view, static_cast<const T*>(arguments.x),
      static_cast<const T*>(arguments.dy), arguments.activation,
      static_cast<const MaskByte*>(arguments.mask), workers,
      [&](int64_t row) { return CoefficientsOf<S>(arguments, row); },
      [&](int64_t row, auto*, double* sum_g, double* sum_g_centered) {
        for (int64_t c = 0; c < channels; ++c) {
          sums_g[row * channels + c] = S(sum_g[c]);
          sums_g_centered[row * channels + c] = S(sum_g_centered[c]);
        }
      });
}

template <class T, class S>
void GradientCombine(const keras_norms::GradientCombineArguments& arguments,
                     const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  const MaskByte* const mask = static_cast<const MaskByte*>(arguments.mask);
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks();
  const bool streams = chunks.streams(dx, x, dy);
  // Backwards, as in Apply.
  ParallelFor(workers, view.rows * row_chunks, [&](int64_t item) {
    const int64_t i = view.rows * row_chunks - 1 - item;
    const Chunk chunk = chunks.at(i / row_chunks, i % row_chunks);
    const RowCoefficients<S> row = CoefficientsOf<S>(
        arguments, chunk.row, arguments.slope, arguments.offset);
    ChunkCombine(view, chunk, x, dy, row, arguments.activation, mask, dx,
                 streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GRADIENT_H_
