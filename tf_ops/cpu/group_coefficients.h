// The saved moments of groups, and the coefficients that follow from them.

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

// The moments that the forward pass saves for the gradient, [rows, groups]. S
// is const in the gradient.
template <class S>
struct SavedMoments {
  S* mean;
  S* residual;
  S* rstd;
};

// Computes the saved moments of the groups of a row from the moments of its
// channels.
template <class S>
inline void PoolGroups(const GroupNormParams& params, int64_t channels,
                       MomentsPartials* partials, int64_t slot, int64_t row,
                       const SavedMoments<S>& saved) {
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
    saved.mean[i] = S(mean);
    saved.residual[i] = S(mean - double(saved.mean[i]));
    saved.rstd[i] = S(1 / std::sqrt(variance + params.epsilon));
  }
}

// The coefficients of a row, from the moments of its groups.
template <class S>
class GroupCoefficients {
 public:
  template <class M>
  GroupCoefficients(const GroupNormParams& params, int64_t channels,
                    int64_t row, const M& saved)
      : channels_(channels), data_(5 * channels) {
    const S* gamma = static_cast<const S*>(params.gamma);
    const S* beta = static_cast<const S*>(params.beta);
    const int64_t group_size = channels / params.groups;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t i = row * params.groups + c / group_size;
      const S channel_scale = saved.rstd[i] * (gamma ? gamma[c] : S(1));
      center()[c] = saved.mean[i];
      scale()[c] = channel_scale;
      shift()[c] = (beta ? beta[c] : S(0)) - saved.residual[i] * channel_scale;
    }
  }

  // Computes slope and offset from the sums of g and of g (x - center). It
  // replaces the sums by the row's summands of the gradients of beta and gamma,
  // the sums of g and of g times the normalized x.
  template <class M>
  void ComputeSlopeAndOffset(const GroupNormParams& params, int64_t row,
                             const M& saved, double positions, double* sum_g,
                             double* sum_g_centered) {
    const S* gamma = static_cast<const S*>(params.gamma);
    const int64_t group_size = channels_ / params.groups;
    for (int64_t g = 0; g < params.groups; ++g) {
      const int64_t i = row * params.groups + g;
      const double rstd = saved.rstd[i];
      double group_sum = 0, group_product_sum = 0;
      for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
        const double sum_g_normalized =
            (sum_g_centered[c] - saved.residual[i] * sum_g[c]) * rstd;
        sum_g_centered[c] = sum_g_normalized;
        group_sum += (gamma ? gamma[c] : 1) * sum_g[c];
        group_product_sum += (gamma ? gamma[c] : 1) * sum_g_normalized;
      }
      const double rstd_over_count =
          positions > 0 ? rstd / (positions * group_size) : 0;
      const double group_slope = -rstd_over_count * group_product_sum * rstd;
      const double group_offset =
          -rstd_over_count * group_sum - group_slope * saved.residual[i];
      for (int64_t c = g * group_size; c < (g + 1) * group_size; ++c) {
        slope()[c] = S(group_slope);
        offset()[c] = S(group_offset);
      }
    }
    has_slope_ = true;
  }

  // Copies slope and offset, [2, channels], for the threads that share the row.
  void SaveSlopeAndOffset(S* to) {
    for (int64_t i = 0; i < 2 * channels_; ++i) to[i] = slope()[i];
  }
  void RestoreSlopeAndOffset(const S* from) {
    for (int64_t i = 0; i < 2 * channels_; ++i) slope()[i] = from[i];
    has_slope_ = true;
  }

  RowCoefficients<S> row() {
    S* const none = nullptr;
    return {center(), scale(), shift(), has_slope_ ? slope() : none,
            has_slope_ ? offset() : none};
  }

 private:
  S* center() { return data_.get(); }
  S* scale() { return data_.get() + channels_; }
  S* shift() { return data_.get() + 2 * channels_; }
  S* slope() { return data_.get() + 3 * channels_; }
  S* offset() { return data_.get() + 4 * channels_; }

  int64_t channels_;
  Buffer<S> data_;
  bool has_slope_ = false;
};

}  // namespace

#endif  // KERAS_NORMS_CPU_GROUP_COEFFICIENTS_H_
