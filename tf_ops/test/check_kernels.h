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

  void CheckGroupNorm();

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
    std::vector<S> sum_g(size, -1), sum_g_centered(size, -1);
    kernels_.gradient_sums(
        {data_.common(), data_.x.data(), data_.dy.data(), data_.mask(),
         data_.center.data(), data_.scale.data(), data_.shift.data(),
         sum_g.data(), sum_g_centered.data()},
        workers_);
    for (int64_t r = 0; r < compared_rows_; ++r) {
      for (int64_t c = 0; c < view_.channels; ++c) {
        const int64_t i = r * view_.channels + c;
        long double want_g = 0, want_g_centered = 0, magnitude = 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          const double g = data_.gradient(r, p, c);
          const double g_centered =
              g * (data_.value(r, p, c) - data_.center[i]);
          want_g += g;
          want_g_centered += g_centered;
          magnitude += std::fabs(g) + std::fabs(g_centered);
        }
        Close(sum_g[i], want_g, magnitude, 4 * kClose, "sum_g");
        Close(sum_g_centered[i], want_g_centered, magnitude, 4 * kClose,
              "sum_g_centered");
      }
    }
    Record(sum_g);
    Record(sum_g_centered);
  }

  void CheckGradientCombine() {
    for (const bool through_moments : {true, false}) {
      Results<T> dx(data_.x.size());
      kernels_.gradient_combine(
          {data_.common(), data_.x.data(), data_.dy.data(), data_.mask(),
           data_.center.data(), data_.scale.data(), data_.shift.data(),
           through_moments ? data_.slope.data() : nullptr,
           through_moments ? data_.offset.data() : nullptr, dx.data()},
          workers_);
      ForEachElement([&](int64_t r, int64_t p, int64_t c) {
        const int64_t i = r * view_.channels + c;
        double want = data_.gradient(r, p, c) * data_.scale[i];
        if (through_moments && data_.valid(r, p)) {
          want += (data_.value(r, p, c) - data_.center[i]) * data_.slope[i] +
                  data_.offset[i];
        }
        Close(ToDouble(dx[data_.index(r, p, c)]), want, std::fabs(want) + 3,
              kNarrow + 4 * kClose, "dx");
      });
      Record(dx);
    }
  }

  void CheckGroupNorm(int64_t groups);

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

// The definitions of CheckGroupNorm follow the class that declares them.
#include "check_group_norm.h"

#endif  // KERAS_NORMS_TEST_CHECK_KERNELS_H_
