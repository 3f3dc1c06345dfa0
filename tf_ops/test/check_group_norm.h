// Compares group normalization and its gradient with sums in long double.
//
// These are members of KernelChecks: include check_kernels.h, which includes
// this file.

#ifndef KERAS_NORMS_TEST_CHECK_GROUP_NORM_H_
#define KERAS_NORMS_TEST_CHECK_GROUP_NORM_H_

#include <cmath>
#include <vector>

namespace {

template <class T>
void KernelChecks<T>::CheckGroupNorm() {
  if (data_.masked) return;
  // One group, one per channel, and a number between them if there is one.
  int64_t some = view_.channels / 2;
  while (some > 1 && view_.channels % some) --some;
  CheckGroupNorm(1);
  if (some > 1) CheckGroupNorm(some);
  if (view_.channels > 1) CheckGroupNorm(view_.channels);
}

template <class T>
void KernelChecks<T>::CheckGroupNorm(int64_t groups) {
  const int64_t size = view_.channels / groups, n = view_.positions();
  std::vector<S> gamma = data_.slope, beta = data_.offset;
  gamma.resize(view_.channels);
  beta.resize(view_.channels);
  const kn::CommonArguments common = data_.common(groups, 1e-3);
  std::vector<S> mean(view_.rows * groups), variance(mean), residual(mean),
      rstd(mean);
  Results<T> y(data_.x.size()), dx(data_.x.size());
  kernels_.group_norm({common, data_.x.data(), gamma.data(), beta.data(),
                       y.data(), mean.data(), residual.data(), rstd.data(),
                       variance.data()},
                      workers_);
  std::vector<S> d_gamma(view_.channels), d_beta(view_.channels);
  kernels_.group_norm_gradient(
      {common, data_.x.data(), data_.dy.data(), gamma.data(), beta.data(),
       mean.data(), residual.data(), rstd.data(), dx.data(), d_gamma.data(),
       d_beta.data()},
      workers_);
  std::vector<double> want_gamma(view_.channels), want_beta(want_gamma),
      magnitude(view_.channels);
  for (int64_t r = 0; r < compared_rows_; ++r) {
    for (int64_t group = 0; group < groups; ++group) {
      const auto for_each = [&](auto f) {
        for (int64_t c = group * size; c < (group + 1) * size; ++c) {
          for (int64_t p = 0; p < n; ++p) f(c, p);
        }
      };
      long double m = 0, v = 0, sum = 0, product = 0;
      for_each([&](int64_t c, int64_t p) { m += data_.value(r, p, c); });
      m = n * size != 0 ? m / (n * size) : 0;
      for_each([&](int64_t c, int64_t p) {
        v += (data_.value(r, p, c) - m) * (data_.value(r, p, c) - m);
      });
      v = n * size != 0 ? v / (n * size) : 0;
      const long double want_rstd = 1 / std::sqrt(v + 1e-3L);
      Close(variance[r * groups + group], double(v), 1, 3 * kClose,
            "group variance");
      const auto normalized = [&](int64_t c, int64_t p) {
        return double((data_.value(r, p, c) - m) * want_rstd);
      };
      const auto gradient = [&](int64_t c, int64_t p) {
        const double z = normalized(c, p) * gamma[c] + beta[c];
        return ToDouble(data_.dy[data_.index(r, p, c)]) *
               Derivative(data_.activation, z);
      };
      for_each([&](int64_t c, int64_t p) {
        const double z = normalized(c, p) * gamma[c] + beta[c];
        Close(ToDouble(y[data_.index(r, p, c)]), Activate(data_.activation, z),
              std::fabs(z), kNarrow + 4 * kClose, "group y");
        const double g = gradient(c, p);
        sum += g * gamma[c];
        product += g * gamma[c] * normalized(c, p);
        want_beta[c] += g;
        want_gamma[c] += g * normalized(c, p);
        magnitude[c] += std::fabs(g) * (1 + std::fabs(normalized(c, p)));
      });
      for_each([&](int64_t c, int64_t p) {
        const double want =
            want_rstd * (gradient(c, p) * gamma[c] -
                         (sum + product * normalized(c, p)) / (n * size));
        Close(ToDouble(dx[data_.index(r, p, c)]), want,
              std::fabs(want) + double(want_rstd), kNarrow + 8 * kClose,
              "group dx");
      });
    }
  }
  for (int64_t c = 0; compared_rows_ > 0 && c < view_.channels; ++c) {
    const double bound = 8 * kClose;
    Close(d_beta[c], want_beta[c], magnitude[c], bound, "d beta");
    Close(d_gamma[c], want_gamma[c], magnitude[c], bound, "d gamma");
  }
  Record(y);
  Record(dx);
  Record(d_gamma);
}

}  // namespace

#endif  // KERAS_NORMS_TEST_CHECK_GROUP_NORM_H_
