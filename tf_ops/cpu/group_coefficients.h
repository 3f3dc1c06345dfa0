// The moments of groups, and the coefficients that follow from them.

#ifndef KERAS_NORMS_CPU_GROUP_COEFFICIENTS_H_
#define KERAS_NORMS_CPU_GROUP_COEFFICIENTS_H_

#include <cmath>

#include "apply.h"
#include "moments.h"

namespace {

// The arguments that group norm and its gradient share.
struct GroupNormParams {
  int64_t groups;
  double epsilon;
  const void* gamma;  // [channels], or null for ones
  const void* beta;   // [channels], or null for zeros
};

template <class A>
inline GroupNormParams GroupNormParamsOf(const A& arguments) {
  return {arguments.groups, arguments.epsilon, arguments.gamma, arguments.beta};
}

// The moments that the forward pass computes, [rows, groups]. The gradient
// reads all but the variance.
template <class S>
struct GroupMoments {
  S* mean;
  S* residual;
  S* rstd;
  S* variance = nullptr;
};

// Computes the moments of the groups of a row from those of its channels.
template <class S>
inline void PoolGroups(const GroupNormParams& params, int64_t channels,
                       MomentsPartials* partials, int64_t slot, int64_t row,
                       const GroupMoments<S>& moments) {
  const int64_t group_size = channels / params.groups;
  if (group_size == 0) return;
  const double positions = *partials->count(slot);
  for (int64_t g = 0; g < params.groups; ++g) {
    const double* means = partials->mean(slot) + g * group_size;
    const double* squares = partials->squares(slot) + g * group_size;
    double mean = 0, total = 0;
    for (int64_t c = 0; c < group_size; ++c) mean += means[c] - means[0];
    mean = means[0] + mean / group_size;
    for (int64_t c = 0; c < group_size; ++c) {
      const double centered = means[c] - mean;
      total += squares[c] + positions * centered * centered;
    }
    const double variance =
        positions > 0 ? total / (positions * group_size) : 0;
    const int64_t i = row * params.groups + g;
    moments.mean[i] = S(mean);
    moments.residual[i] = S(mean - double(moments.mean[i]));
    moments.variance[i] = S(variance);
    moments.rstd[i] = S(1 / std::sqrt(variance + params.epsilon));
  }
}

// The coefficients of a row, from the moments of its groups. They are in a
// buffer of this object, or in that of a GroupCoefficientRows.
template <class S>
class GroupCoefficients {
 public:
  static int64_t SizeFor(int64_t channels) { return 5 * channels; }

  GroupCoefficients(int64_t channels, S* data)
      : channels_(channels), buffer_(0), data_(data) {}

  template <class M>
  GroupCoefficients(const GroupNormParams& params, int64_t channels,
                    int64_t row, const M& moments)
      : channels_(channels),
        buffer_(SizeFor(channels)),
        data_(buffer_.get()) {
    Compute(params, row, moments);
  }

  // Computes center, scale and shift.
  template <class M>
  void Compute(const GroupNormParams& params, int64_t row, const M& moments) {
    const S* gamma = static_cast<const S*>(params.gamma);
    const S* beta = static_cast<const S*>(params.beta);
    const int64_t group_size = channels_ / params.groups;
    for (int64_t g = 0; g < (group_size ? params.groups : 0); ++g) {
      const int64_t i = row * params.groups + g;
      for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
        const S channel_scale = moments.rstd[i] * (gamma ? gamma[c] : S(1));
        center()[c] = moments.mean[i];
        scale()[c] = channel_scale;
        shift()[c] =
            (beta ? beta[c] : S(0)) - moments.residual[i] * channel_scale;
      }
    }
  }

  // Computes slope and offset from the sums of g and of g (x - center). It
  // replaces the sums by the row's summands of the gradients of beta and gamma,
  // the sums of g and of g times the normalized x.
  template <class M>
  void ComputeSlopeAndOffset(const GroupNormParams& params, int64_t row,
                             const M& moments, double positions, double* sum_g,
                             double* sum_g_centered) {
    const S* gamma = static_cast<const S*>(params.gamma);
    const int64_t group_size = channels_ / params.groups;
    for (int64_t g = 0; g < params.groups; ++g) {
      const int64_t i = row * params.groups + g;
      const double rstd = moments.rstd[i];
      double group_sum = 0, group_product_sum = 0;
      for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
        const double sum_g_normalized =
            (sum_g_centered[c] - moments.residual[i] * sum_g[c]) * rstd;
        sum_g_centered[c] = sum_g_normalized;
        group_sum += (gamma ? gamma[c] : 1) * sum_g[c];
        group_product_sum += (gamma ? gamma[c] : 1) * sum_g_normalized;
      }
      const double rstd_over_count =
          positions > 0 ? rstd / (positions * group_size) : 0;
      const double group_slope = -rstd_over_count * group_product_sum * rstd;
      const double group_offset =
          -rstd_over_count * group_sum - group_slope * moments.residual[i];
      for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
        slope()[c] = S(group_slope);
        offset()[c] = S(group_offset);
      }
    }
  }

  // For the passes that read no slope and offset.
  RowCoefficients<S> row() {
    return {center(), scale(), shift(), nullptr, nullptr};
  }
  RowCoefficients<S> row_with_slope() {
    return {center(), scale(), shift(), slope(), offset()};
  }

 private:
  S* center() { return data_; }
  S* scale() { return data_ + channels_; }
  S* shift() { return data_ + 2 * channels_; }
  S* slope() { return data_ + 3 * channels_; }
  S* offset() { return data_ + 4 * channels_; }

  int64_t channels_;
  Buffer<S> buffer_;
  S* data_;
};

// The coefficients of all rows, where several threads share a row.
template <class S>
class GroupCoefficientRows {
 public:
  GroupCoefficientRows(int64_t rows, int64_t channels)
      : channels_(channels),
        buffer_(rows * GroupCoefficients<S>::SizeFor(channels)) {}

  GroupCoefficients<S> operator[](int64_t row) const {
    const int64_t size = GroupCoefficients<S>::SizeFor(channels_);
    return {channels_, buffer_.get() + row * size};
  }

 private:
  int64_t channels_;
  Buffer<S> buffer_;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_GROUP_COEFFICIENTS_H_
