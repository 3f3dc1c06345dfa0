// Group norm of rows with one position, as in layer norm: a group is a segment,
// contiguous channels of one row, and there are as many statistics as segments.
//
// A thread computes a segment's sums and then its y or dx, while the segment is
// in the L1 cache (x is read once from memory, 1R 1W, and 2R 1W for the
// gradient). The kernels for rows of many positions would keep sums for each
// channel of each row, which takes 5 times as long for 64 channels.

#ifndef KERAS_NORMS_CPU_LAYER_NORM_H_
#define KERAS_NORMS_CPU_LAYER_NORM_H_

#include "activations.h"
#include "segments.h"

namespace {

// The most blocks of rows whose gradients of gamma and beta are summed
// separately, and the rows between flushes of these sums.
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMinBlockRows = 4;
constexpr int64_t kFlushRows = 64;

template <class T, class S>
void LayerNorm(const keras_norms::GroupNormArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const GroupNormParams params = GroupNormParamsOf(arguments);
  const SegmentAffine<S> affine(params, view.channels);
  const int64_t size = view.channels / params.groups;
  const int64_t segments = view.rows * params.groups;
  const int64_t step = CeilDiv(kChunkBytes, size * int64_t(sizeof(T)));
  const bool streams =
      Streams<S>(y, size, Chunks(view, sizeof(T)).streams(y, x));
  WithActivation(arguments.activation, [&](auto activation) {
    ParallelFor(workers, CeilDiv(segments, step), [&](int64_t item) {
      const int64_t end = Min((item + 1) * step, segments);
      for (int64_t k = item * step; k < end; ++k) {
        const T* const from = x + k * size;
        T* const to = y + k * size;
        const SegmentMoments<S> moments =
            MomentsOfSegment<S>(from, size, params.epsilon);
        static_cast<S*>(arguments.mean)[k] = moments.mean;
        static_cast<S*>(arguments.variance)[k] = moments.variance;
        static_cast<S*>(arguments.residual)[k] = moments.residual;
        static_cast<S*>(arguments.rstd)[k] = moments.rstd;
        const int64_t channel = k % params.groups * size;
        const S* const gamma = affine.gamma + channel;
        const S* const beta = affine.beta + channel;
        ForEachVector<S>(size, [&](auto zero, int64_t i) KERAS_NORMS_INLINE {
          using V = decltype(zero);
          const V normalized =
              ((Load<V>(from + i) - moments.mean) - moments.residual) *
              moments.rstd;
          const V z = normalized * Load<V>(gamma + i) + Load<V>(beta + i);
          Put(V(activation(z)), to + i, streams);
        });
      }
      if (streams) EndStreams();
    });
  });
}

// The sums of the gradients of gamma and beta over the rows of a block,
// [2, channels], in the type of statistics for up to kFlushRows rows and then
// in float64.
template <class S>
class AffineGradients {
 public:
  AffineGradients(int64_t channels, double* total)
      : size_(2 * channels), total_(total), narrow_(size_) {
    for (int64_t i = 0; i < size_; ++i) total_[i] = narrow_[i] = 0;
  }

  S* d_gamma() { return narrow_.get(); }
  S* d_beta() { return narrow_.get() + size_ / 2; }

  // Must be called after each row.
  void CountRow() {
    if (++rows_ >= kFlushRows) Flush();
  }

  void Flush() {
    for (int64_t i = 0; i < size_; ++i) {
      total_[i] += narrow_[i];
      narrow_[i] = 0;
    }
    rows_ = 0;
  }

 private:
  int64_t size_;
  double* total_;
  Buffer<S> narrow_;
  int64_t rows_ = 0;
};

template <class V, class S>
KERAS_NORMS_INLINE inline void AddTo(S* sum, V value) {
  Store(Load<V>(sum) + value, sum);
}

template <class T, class S>
void LayerNormGradient(const keras_norms::GroupNormGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  const GroupNormParams params = GroupNormParamsOf(arguments);
  const SegmentAffine<S> affine(params, view.channels);
  const int64_t channels = view.channels, size = channels / params.groups;
  const double share = 1.0 / size;
  // Blocks depend on the shape only, so results do not on the threads.
  const int64_t wanted = Min(CeilDiv(view.rows, kMinBlockRows), kMaxBlocks);
  const int64_t block_rows = wanted ? CeilDiv(view.rows, wanted) : 1;
  const int64_t blocks = CeilDiv(view.rows, block_rows);
  Buffer<double> totals(blocks * 2 * channels);
  const bool streams =
      Streams<S>(dx, size, Chunks(view, sizeof(T)).streams(dx, x, dy));
  WithActivation(arguments.activation, [&](auto activation) {
    ParallelFor(workers, blocks, [&](int64_t block) {
      AffineGradients<S> sums(channels, totals.get() + block * 2 * channels);
      // Of the current segment: x, normalized, and its gradient.
      Buffer<S> normalized(size), d_normalized(size);
      const int64_t end = Min((block + 1) * block_rows, view.rows);
      for (int64_t row = block * block_rows; row < end; ++row) {
        for (int64_t g = 0; g < params.groups; ++g) {
          const int64_t k = row * params.groups + g;
          const S mean = static_cast<const S*>(arguments.mean)[k];
          const S residual = static_cast<const S*>(arguments.residual)[k];
          const S rstd = static_cast<const S*>(arguments.rstd)[k];
          const S* const gamma = affine.gamma + g * size;
          const S* const beta = affine.beta + g * size;
          S* const d_gamma = sums.d_gamma() + g * size;
          S* const d_beta = sums.d_beta() + g * size;
          const auto total = SumSegment<S>(
              size, [&](int64_t i, auto* a, auto* b) KERAS_NORMS_INLINE {
                using V = decltype(*a + 0);
                const V n =
                    ((Load<V>(x + k * size + i) - mean) - residual) * rstd;
                const V z = n * Load<V>(gamma + i) + Load<V>(beta + i);
                const V d_z =
                    activation.Gradient(z, Load<V>(dy + k * size + i));
                AddTo<V>(d_gamma + i, d_z * n);
                AddTo<V>(d_beta + i, d_z);
                *a = d_z * Load<V>(gamma + i);
                *b = *a * n;
                Store(n, normalized.get() + i);
                Store(*a, d_normalized.get() + i);
              });
          const S offset = S(total.a * share), slope = S(total.b * share);
          ForEachVector<S>(size, [&](auto zero, int64_t i) KERAS_NORMS_INLINE {
            using V = decltype(zero);
            const V n = Load<V>(normalized.get() + i);
            const V d_n = Load<V>(d_normalized.get() + i);
            Put(V((d_n - offset - n * slope) * rstd), dx + k * size + i,
                streams);
          });
        }
        sums.CountRow();
      }
      sums.Flush();
      if (streams) EndStreams();
    });
  });
  S* const d_gamma = static_cast<S*>(arguments.d_gamma);
  S* const d_beta = static_cast<S*>(arguments.d_beta);
  ParallelFor(workers, CeilDiv(channels, kTile), [&](int64_t tile) {
    const int64_t end = Min((tile + 1) * kTile, channels);
    for (int64_t c = tile * kTile; c < end; ++c) {
      double sum_gamma = 0, sum_beta = 0;
      for (int64_t block = 0; block < blocks; ++block) {
        sum_gamma += totals[block * 2 * channels + c];
        sum_beta += totals[(block * 2 + 1) * channels + c];
      }
      d_gamma[c] = S(sum_gamma);
      d_beta[c] = S(sum_beta);
    }
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_LAYER_NORM_H_
