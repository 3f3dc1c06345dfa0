// Group norm as one operation. A thread reads a row for its moments and again
// for y while the row is in its cache; the second pass goes backwards, because
// the cache holds most of the end. If there are few rows, the threads share
// each row, in two passes over x.

#ifndef KERAS_NORMS_CPU_GROUP_NORM_H_
#define KERAS_NORMS_CPU_GROUP_NORM_H_

#include <cmath>

#include "gradient.h"
#include "moments.h"

namespace {

// The arguments that group norm and its gradient share.
struct Groups {
  int64_t count;
  double epsilon;
  const void* gamma;  // [channels], or null for ones
  const void* beta;   // [channels], or null for zeros
};

template <class A>
inline Groups GroupsOf(const A& arguments) {
  return {arguments.groups, arguments.epsilon, arguments.gamma, arguments.beta};
}

// What the forward pass saves for the gradient, [rows, groups]. S is const in
// the gradient.
template <class S>
struct SavedMoments {
  S* mean;
  S* residual;
  S* rstd;
};

// Computes the mean and rstd of the groups of a row from its channels' moments.
template <class S>
inline void PoolGroups(const Groups& groups, int64_t channels,
                       MomentsPartials* partials, int64_t slot, int64_t row,
                       const SavedMoments<S>& saved) {
  const int64_t size = channels / groups.count;
  if (size == 0) return;
  const double count = *partials->count(slot);
  for (int64_t g = 0; g < groups.count; ++g) {
    const double* means = partials->mean(slot) + g * size;
    const double* squares = partials->squares(slot) + g * size;
    double mean = 0, total = 0;
    for (int64_t c = 0; c < size; ++c) mean += means[c] - means[0];
    mean = means[0] + mean / size;
    for (int64_t c = 0; c < size; ++c) {
      const double centered = means[c] - mean;
      total += squares[c] + count * centered * centered;
    }
    const double variance = count > 0 ? total / (count * size) : 0;
    const int64_t i = row * groups.count + g;
    saved.mean[i] = S(mean);
    saved.residual[i] = S(mean - double(saved.mean[i]));
    saved.rstd[i] = S(1 / std::sqrt(variance + groups.epsilon));
  }
}

// The coefficients of a row, from the moments of its groups.
template <class S>
class GroupCoefficients {
 public:
  template <class M>
  GroupCoefficients(const Groups& groups, int64_t channels, int64_t row,
                    const M& saved)
      : channels_(channels), data_(5 * channels) {
    const S* gamma = static_cast<const S*>(groups.gamma);
    const S* beta = static_cast<const S*>(groups.beta);
    const int64_t size = channels / groups.count;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t i = row * groups.count + c / size;
      const S channel_scale = saved.rstd[i] * (gamma ? gamma[c] : S(1));
      center()[c] = saved.mean[i];
      scale()[c] = channel_scale;
      shift()[c] = (beta ? beta[c] : S(0)) - saved.residual[i] * channel_scale;
    }
  }

  // Computes b and d of dx from the sums of g and of g (x - center). The sums
  // are replaced by this row's share of the gradients of beta and gamma.
  template <class M>
  void ComputeGradient(const Groups& groups, int64_t row, const M& saved,
                       double count, double* sum, double* product) {
    const S* gamma = static_cast<const S*>(groups.gamma);
    const int64_t size = channels_ / groups.count;
    for (int64_t g = 0; g < groups.count; ++g) {
      const int64_t i = row * groups.count + g;
      const double rstd = saved.rstd[i];
      double group_sum = 0, group_product = 0;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        // The sum of g times the normalized x.
        product[c] = (product[c] - saved.residual[i] * sum[c]) * rstd;
        group_sum += (gamma ? gamma[c] : 1) * sum[c];
        group_product += (gamma ? gamma[c] : 1) * product[c];
      }
      const double share = count > 0 ? rstd / (count * size) : 0;
      const double group_b = -share * group_product * rstd;
      const double group_d = -share * group_sum - group_b * saved.residual[i];
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        b()[c] = S(group_b);
        d()[c] = S(group_d);
      }
    }
    has_gradient_ = true;
  }

  // Copies b and d, [2, channels], for the threads that share the row.
  void SaveGradient(S* to) {
    for (int64_t i = 0; i < 2 * channels_; ++i) to[i] = b()[i];
  }
  void RestoreGradient(const S* from) {
    for (int64_t i = 0; i < 2 * channels_; ++i) b()[i] = from[i];
    has_gradient_ = true;
  }

  RowCoefficients<S> row() {
    S* const none = nullptr;
    return {center(), scale(), shift(), has_gradient_ ? b() : none,
            has_gradient_ ? d() : none};
  }

 private:
  S* center() { return data_.get(); }
  S* scale() { return data_.get() + channels_; }
  S* shift() { return data_.get() + 2 * channels_; }
  S* b() { return data_.get() + 3 * channels_; }
  S* d() { return data_.get() + 4 * channels_; }

  int64_t channels_;
  Buffer<S> data_;
  bool has_gradient_ = false;
};

template <class T, class S>
void GroupNorm(const keras_norms::GroupNormArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const Groups groups = GroupsOf(arguments);
  const SavedMoments<S> saved = {static_cast<S*>(arguments.mean),
                                 static_cast<S*>(arguments.residual),
                                 static_cast<S*>(arguments.rstd)};
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count(), channels = view.channels;
  const bool by_rows = chunks.by_rows(workers);
  const auto apply = [&](int64_t row, int64_t k,
                         GroupCoefficients<S>* row_coefficients) {
    ApplyChunk(view, chunks.at(row, k), x, row_coefficients->row(),
               arguments.activation, nullptr, y, chunks.exceed_cache(2));
  };
  ForEachRowMoments<T, S>(
      view, x, nullptr, workers,
      [&](int64_t row, MomentsPartials* partials, int64_t slot) {
        PoolGroups(groups, channels, partials, slot, row, saved);
        if (!by_rows) return;
        GroupCoefficients<S> row_coefficients(groups, channels, row, saved);
        for (int64_t k = count - 1; k >= 0; --k)
          apply(row, k, &row_coefficients);
      });
  if (by_rows) return;
  ParallelFor(workers, view.rows * count, [&](int64_t i) {
    GroupCoefficients<S> row_coefficients(groups, channels, i / count, saved);
    apply(i / count, i % count, &row_coefficients);
  });
}

template <class T, class S>
void GroupNormGradient(const keras_norms::GroupNormGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  S* const d_gamma = static_cast<S*>(arguments.d_gamma);
  S* const d_beta = static_cast<S*>(arguments.d_beta);
  const Groups groups = GroupsOf(arguments);
  const SavedMoments<const S> saved = {
      static_cast<const S*>(arguments.mean),
      static_cast<const S*>(arguments.residual),
      static_cast<const S*>(arguments.rstd)};
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count(), channels = view.channels;
  const bool by_rows = chunks.by_rows(workers);
  // Each row's share of d_beta and d_gamma; and its b and d, if other threads
  // read them.
  Buffer<S> shares(view.rows * 2 * channels);
  Buffer<S> gradients(by_rows ? 0 : view.rows * 2 * channels);
  const auto combine = [&](int64_t row, int64_t k,
                           GroupCoefficients<S>* row_coefficients) {
    ChunkCombine(view, chunks.at(row, k), x, dy, row_coefficients->row(),
                 arguments.activation, nullptr, dx, chunks.exceed_cache(3));
  };
  ForEachRowSums<T, S>(
      view, x, dy, arguments.activation, nullptr, workers,
      [&](int64_t row) {
        return GroupCoefficients<S>(groups, channels, row, saved);
      },
      [&](int64_t row, double* sum, double* product) {
        GroupCoefficients<S> row_coefficients(groups, channels, row, saved);
        row_coefficients.ComputeGradient(groups, row, saved, view.positions(),
                                         sum, product);
        S* row_share = shares.get() + row * 2 * channels;
        for (int64_t c = 0; c < channels; ++c) {
          row_share[c] = S(sum[c]);
          row_share[channels + c] = S(product[c]);
        }
        if (by_rows) {
          for (int64_t k = count - 1; k >= 0; --k)
            combine(row, k, &row_coefficients);
        } else {
          row_coefficients.SaveGradient(gradients.get() + row * 2 * channels);
        }
      });
  if (!by_rows) {
    ParallelFor(workers, view.rows * count, [&](int64_t i) {
      GroupCoefficients<S> row_coefficients(groups, channels, i / count, saved);
      row_coefficients.RestoreGradient(gradients.get() +
                                       i / count * 2 * channels);
      combine(i / count, i % count, &row_coefficients);
    });
  }
  ParallelFor(workers, CeilDiv(channels, kTile), [&](int64_t i) {
    const int64_t begin = i * kTile, n = Min(kTile, channels - begin);
    double beta[kTile], gamma[kTile];
    for (int64_t c = 0; c < n; ++c) beta[c] = gamma[c] = 0;
    for (int64_t row = 0; row < view.rows; ++row) {
      const S* row_share = shares.get() + row * 2 * channels + begin;
      for (int64_t c = 0; c < n; ++c) {
        beta[c] += row_share[c];
        gamma[c] += row_share[channels + c];
      }
    }
    for (int64_t c = 0; c < n; ++c) {
      d_beta[begin + c] = S(beta[c]);
      d_gamma[begin + c] = S(gamma[c]);
    }
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GROUP_NORM_H_
