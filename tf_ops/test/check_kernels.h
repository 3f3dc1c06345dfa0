// Runs all operations on one case, and compares them with sums in long double.

#ifndef KERAS_NORMS_TEST_CHECK_KERNELS_H_
#define KERAS_NORMS_TEST_CHECK_KERNELS_H_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "case.h"
#include "expect.h"
#include "oracles.h"

namespace {

template <class T>
class KernelChecks {
  using S = typename TypeTraits<T>::Statistic;
  static constexpr double kClose = TypeTraits<T>::close;
  static constexpr double kNarrow = TypeTraits<T>::narrow;

 public:
  // Without `compare`, results are only recorded.
  KernelChecks(const kn::Kernels& kernels, const Case& test,
               const kn::Workers& workers, bool compare)
      : kernels_(kernels),
        data_(test),
        view_(test.view),
        workers_(workers),
        compared_rows_(compare ? test.view.rows : 0) {}

  void CheckAll() {
    CheckMoments();
    CheckApply();
    CheckGradientSums();
    CheckGradientCombine();
    CheckGroupNorm();
  }

  void CheckGroupNorm() {
    if (data_.masked) return;
    // One group, one per channel, and a number between them if there is one.
    int64_t some = view_.channels / 2;
    while (some > 1 && view_.channels % some) --some;
    CheckGroupNorm(1);
    if (some > 1) CheckGroupNorm(some);
    if (view_.channels > 1) CheckGroupNorm(view_.channels);
  }

  std::vector<S> results;  // all of them, for comparisons between runs

 private:
  // Whether a result is within `bound` of `want`, relative to `size`.
  void Close(double got, double want, double size, double bound,
             const char* what) {
    const bool good = std::fabs(got - want) <= bound * std::max(size, 1.0);
    Expect(good, std::string(what) + ": " + std::to_string(got) + ", not " +
                     std::to_string(want) + Describe());
  }

  std::string Describe() const {
    const std::string x = "x", sizes = std::to_string(view_.rows) + x +
                                       std::to_string(view_.outer) + x +
                                       std::to_string(view_.channels) + x +
                                       std::to_string(view_.inner);
    return std::string(" (") + kernels_.name + ", type " +
           std::to_string(int(TypeTraits<T>::type)) + ", " + sizes +
           (data_.masked ? ", masked" : "") + ", activation " +
           std::to_string(int(data_.activation)) + ")";
  }

  template <class V>
  void Record(const V& values) {
    for (const auto& value : values) results.push_back(S(ToDouble(value)));
  }

  void CheckMoments() {
    const int64_t size = view_.rows * view_.channels;
    std::vector<S> count(view_.rows, -1), mean(size, -1), variance(size, -1),
        residual(size, -1);
    kernels_.moments(
        {data_.common(), data_.x.data(), data_.mask(), count.data(),
         mean.data(), variance.data(), residual.data()},
        workers_);
    for (int64_t r = 0; r < compared_rows_; ++r) {
      for (int64_t c = 0; c < view_.channels; ++c) {
        long double n = 0, sum = 0, squares = 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          if (!data_.valid(r, p)) continue;
          ++n;
          sum += data_.value(r, p, c);
        }
        const long double exact = n ? sum / n : 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          if (!data_.valid(r, p)) continue;
          const long double centered = data_.value(r, p, c) - exact;
          squares += centered * centered;
        }
        const int64_t i = r * view_.channels + c;
        Close(count[r], n, 1, 0, "count");
        Close(double(mean[i]) + double(residual[i]), exact, 1, kClose, "mean");
        Close(variance[i], n ? squares / n : 0, 1, 3 * kClose, "variance");
      }
    }
    Record(mean);
    Record(variance);
    Record(residual);
  }

  void CheckApply() {
    Results<T> y(data_.x.size());
    kernels_.apply(
        {data_.common(), data_.x.data(), data_.mask(), data_.center.data(),
         data_.scale.data(), data_.shift.data(), y.data()},
        workers_);
    ForEachElement([&](int64_t r, int64_t p, int64_t c) {
      const double z = data_.z(r, p, c);
      Close(ToDouble(y[data_.index(r, p, c)]), Activate(data_.activation, z),
            std::fabs(z), kNarrow + 4 * kClose + CenterTolerance(), "y");
    });
    Record(y);
  }

  void CheckGradientSums() {
    const int64_t size = view_.rows * view_.channels;
    std::vector<S> sum(size, -1), product(size, -1);
    kernels_.gradient_sums(
        {data_.common(), data_.x.data(), data_.dy.data(), data_.mask(),
         data_.center.data(), data_.scale.data(), data_.shift.data(),
         sum.data(), product.data()},
        workers_);
    for (int64_t r = 0; r < compared_rows_; ++r) {
      for (int64_t c = 0; c < view_.channels; ++c) {
        const int64_t i = r * view_.channels + c;
        long double want_sum = 0, want_product = 0, magnitude = 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          const double g = data_.gradient(r, p, c);
          const double product = g * (data_.value(r, p, c) - data_.center[i]);
          want_sum += g;
          want_product += product;
          magnitude += std::fabs(g) + std::fabs(product);
        }
        Close(sum[i], want_sum, magnitude, 4 * kClose, "sum");
        Close(product[i], want_product, magnitude, 4 * kClose, "product");
      }
    }
    Record(sum);
    Record(product);
  }

  void CheckGradientCombine() {
    for (const bool through_moments : {true, false}) {
      Results<T> dx(data_.x.size());
      kernels_.gradient_combine(
          {data_.common(), data_.x.data(), data_.dy.data(), data_.mask(),
           data_.center.data(), data_.scale.data(), data_.shift.data(),
           through_moments ? data_.b.data() : nullptr,
           through_moments ? data_.d.data() : nullptr, dx.data()},
          workers_);
      ForEachElement([&](int64_t r, int64_t p, int64_t c) {
        const int64_t i = r * view_.channels + c;
        double want = data_.gradient(r, p, c) * data_.scale[i];
        if (through_moments && data_.valid(r, p)) {
          want += (data_.value(r, p, c) - data_.center[i]) * data_.b[i] +
                  data_.d[i];
        }
        Close(ToDouble(dx[data_.index(r, p, c)]), want, std::fabs(want) + 3,
              kNarrow + 4 * kClose, "dx");
      });
      Record(dx);
    }
  }

  void CheckGroupNorm(int64_t groups) {
    const int64_t size = view_.channels / groups, n = view_.positions();
    std::vector<S> gamma = data_.b, beta = data_.d;
    gamma.resize(view_.channels);
    beta.resize(view_.channels);
    const kn::CommonArguments common = data_.common(groups, 1e-3);
    std::vector<S> mean(view_.rows * groups), residual(mean), rstd(mean);
    Results<T> y(data_.x.size()), dx(data_.x.size());
    kernels_.group_norm({common, data_.x.data(), gamma.data(), beta.data(),
                         y.data(), mean.data(), residual.data(), rstd.data()},
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
        m = n ? m / (n * size) : 0;
        for_each([&](int64_t c, int64_t p) {
          v += (data_.value(r, p, c) - m) * (data_.value(r, p, c) - m);
        });
        v = n ? v / (n * size) : 0;
        const long double want_rstd = 1 / std::sqrt(v + 1e-3L);
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
          Close(ToDouble(y[data_.index(r, p, c)]),
                Activate(data_.activation, z), std::fabs(z),
                kNarrow + 4 * kClose, "group y");
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

  // A float32 center near 1e4 leaves few digits for x - center.
  double CenterTolerance() const { return data_.mean > 100 ? 1e-6 : 0; }

  template <class F>
  void ForEachElement(const F& f) {
    for (int64_t r = 0; r < compared_rows_; ++r) {
      for (int64_t p = 0; p < view_.positions(); ++p) {
        for (int64_t c = 0; c < view_.channels; ++c) f(r, p, c);
      }
    }
  }

  const kn::Kernels& kernels_;
  const CaseData<T> data_;
  const kn::View view_;
  const kn::Workers& workers_;
  const int64_t compared_rows_;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_CHECK_KERNELS_H_
