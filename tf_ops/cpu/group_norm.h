// Group norm as one operation, in two passes. If there are enough rows, a
// thread computes the moments of a row and then its y, while the row is in the
// cache of its core. It takes the chunks of the second pass in reverse order,
// because the cache holds the last chunks. If there are few rows, the threads
// share the chunks of all rows, and the second pass starts when the first is
// done.

#ifndef KERAS_NORMS_CPU_GROUP_NORM_H_
#define KERAS_NORMS_CPU_GROUP_NORM_H_

#include "gradient.h"
#include "group_coefficients.h"
#include "layer_norm.h"
#include "moments.h"

namespace {

template <class T, class S>
void GroupNorm(const keras_norms::GroupNormArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  if (HasSegments(view, arguments.groups)) {
    return LayerNorm<T, S>(arguments, workers);
  }
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const GroupNormParams params = GroupNormParamsOf(arguments);
  const GroupMoments<S> moments = {
      static_cast<S*>(arguments.mean), static_cast<S*>(arguments.residual),
      static_cast<S*>(arguments.rstd), static_cast<S*>(arguments.variance)};
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks(), channels = view.channels;
  const bool by_rows = chunks.by_rows(workers);
  const GroupCoefficientRows<S> shared(by_rows ? 0 : view.rows, channels);
  const auto apply = [&](int64_t row, int64_t k,
                         const RowCoefficients<S>& coefficients) {
    ApplyChunk(view, chunks.at(row, k), x, coefficients, arguments.activation,
               nullptr, y, chunks.streams(y, x));
  };
  ForEachRowMoments<T, S>(
      view, x, nullptr, workers,
      [&](int64_t row, MomentsPartials* partials, int64_t slot) {
        PoolGroups(params, channels, partials, slot, row, moments);
        if (!by_rows) return shared[row].Compute(params, row, moments);
        GroupCoefficients<S> coefficients(params, channels, row, moments);
        for (int64_t k = row_chunks - 1; k >= 0; --k)
          apply(row, k, coefficients.row());
      });
  if (by_rows) return;
  // Backwards, as in Apply.
  ParallelFor(workers, view.rows * row_chunks, [&](int64_t item) {
    const int64_t i = view.rows * row_chunks - 1 - item;
    apply(i / row_chunks, i % row_chunks, shared[i / row_chunks].row());
  });
}

template <class T, class S>
void GroupNormGradient(const keras_norms::GroupNormGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  if (HasSegments(view, arguments.groups)) {
    return LayerNormGradient<T, S>(arguments, workers);
  }
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  S* const d_gamma = static_cast<S*>(arguments.d_gamma);
  S* const d_beta = static_cast<S*>(arguments.d_beta);
  const GroupNormParams params = GroupNormParamsOf(arguments);
  const GroupMoments<const S> moments = {
      static_cast<const S*>(arguments.mean),
      static_cast<const S*>(arguments.residual),
      static_cast<const S*>(arguments.rstd)};
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks(), channels = view.channels;
  const bool by_rows = chunks.by_rows(workers);
  // The summands of d_beta and d_gamma of each row.
  Buffer<S> row_gradients(view.rows * 2 * channels);
  const GroupCoefficientRows<S> shared(by_rows ? 0 : view.rows, channels);
  if (!by_rows) {
    for (int64_t row = 0; row < view.rows; ++row)
      shared[row].Compute(params, row, moments);
  }
  const auto combine = [&](int64_t row, int64_t k,
                           const RowCoefficients<S>& coefficients) {
    ChunkCombine(view, chunks.at(row, k), x, dy, coefficients,
                 arguments.activation, nullptr, dx, chunks.streams(dx, x, dy));
  };
  ForEachRowSums<T, S>(
      view, x, dy, arguments.activation, nullptr, workers,
      [&](int64_t row) {
        if (!by_rows) return shared[row];
        return GroupCoefficients<S>(params, channels, row, moments);
      },
      [&](int64_t row, GroupCoefficients<S>* coefficients, double* sum_g,
          double* sum_g_centered) {
        coefficients->ComputeSlopeAndOffset(
            params, row, moments, view.positions(), sum_g, sum_g_centered);
        S* row_gradient = row_gradients.get() + row * 2 * channels;
        for (int64_t c = 0; c < channels; ++c) {
          row_gradient[c] = S(sum_g[c]);
          row_gradient[channels + c] = S(sum_g_centered[c]);
        }
        if (!by_rows) return;
        for (int64_t k = row_chunks - 1; k >= 0; --k)
          combine(row, k, coefficients->row_with_slope());
      });
  if (!by_rows) {
    ParallelFor(workers, view.rows * row_chunks, [&](int64_t item) {
      const int64_t i = view.rows * row_chunks - 1 - item;
      combine(i / row_chunks, i % row_chunks,
              shared[i / row_chunks].row_with_slope());
    });
  }
  ParallelFor(workers, CeilDiv(channels, kTile), [&](int64_t i) {
    const int64_t begin = i * kTile, n = Min(kTile, channels - begin);
    double sum_beta[kTile], sum_gamma[kTile];
    for (int64_t c = 0; c < n; ++c) sum_beta[c] = sum_gamma[c] = 0;
    for (int64_t row = 0; row < view.rows; ++row) {
      const S* row_gradient = row_gradients.get() + row * 2 * channels + begin;
      for (int64_t c = 0; c < n; ++c) {
        sum_beta[c] += row_gradient[c];
        sum_gamma[c] += row_gradient[channels + c];
      }
    }
    for (int64_t c = 0; c < n; ++c) {
      d_beta[begin + c] = S(sum_beta[c]);
      d_gamma[begin + c] = S(sum_gamma[c]);
    }
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GROUP_NORM_H_
