// All kernels on one case, against sums written out in long double.

#ifndef KERAS_NORMS_TEST_TRIED_H_
#define KERAS_NORMS_TEST_TRIED_H_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "check.h"
#include "given.h"
#include "oracles.h"

namespace {

template <class T>
class Tried {
  using S = typename Kind<T>::Table;

 public:
  Tried(const kn::Kernels& kernels, const Case& given, const kn::Workers& pool,
        bool checks)
      : kernels_(kernels),
        given_(given),
        pool_(pool),
        // Rows that are gone through for their exact values.
        checked_(checks ? given.view.rows : 0) {}

  void Run() {
    Moments();
    Apply();
    Sums();
    Combine();
    Groups();
  }

  void Groups() {
    if (given_.masked) return;
    // One, one a channel, and one between where there is one.
    int64_t some = given_.view.channels / 2;
    while (some > 1 && given_.view.channels % some) --some;
    Group(1);
    if (some > 1) Group(some);
    if (given_.view.channels > 1) Group(given_.view.channels);
  }

  std::vector<S> bits;  // all results, to compare between pools

 private:
  void Close(double got, double want, double size, double bound,
             const char* what) {
    const bool good = std::fabs(got - want) <= bound * std::max(size, 1.0);
    Check(good, std::string(what) + ": " + std::to_string(got) + ", not " +
                    std::to_string(want) + Describe());
  }

  std::string Describe() const {
    const std::string x = "x", sizes = std::to_string(given_.view.rows) + x +
                                       std::to_string(given_.view.outer) + x +
                                       std::to_string(given_.view.channels) +
                                       x + std::to_string(given_.view.inner);
    return std::string(" (") + kernels_.name + ", type " +
           std::to_string(int(Kind<T>::type)) + ", " + sizes +
           (given_.masked ? ", masked" : "") + ", function " +
           std::to_string(int(given_.function)) + ")";
  }

  template <class V>
  void Keep(const V& values) {
    for (const auto& value : values) bits.push_back(S(Value(value)));
  }

  void Moments() {
    const int64_t tables = given_.view.rows * given_.view.channels;
    std::vector<S> count(given_.view.rows, -1), mean(tables, -1),
        variance(tables, -1), residual(tables, -1);
    kernels_.moments(
        {given_.common(), given_.x.data(), given_.mask(), count.data(),
         mean.data(), variance.data(), residual.data()},
        pool_);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t c = 0; c < given_.view.channels; ++c) {
        long double n = 0, sum = 0, square = 0;
        for (int64_t p = 0; p < given_.view.positions(); ++p) {
          if (!given_.kept(r, p)) continue;
          ++n;
          sum += given_.read(r, p, c);
        }
        const long double exact = n ? sum / n : 0;
        for (int64_t p = 0; p < given_.view.positions(); ++p) {
          if (!given_.kept(r, p)) continue;
          square +=
              (given_.read(r, p, c) - exact) * (given_.read(r, p, c) - exact);
        }
        const int64_t i = r * given_.view.channels + c;
        Close(count[r], n, 1, 0, "count");
        Close(double(mean[i]) + double(residual[i]), exact, 1, Kind<T>::close,
              "mean");
        Close(variance[i], n ? square / n : 0, 1, 3 * Kind<T>::close,
              "variance");
      }
    }
    Keep(mean);
    Keep(variance);
    Keep(residual);
  }

  void Apply() {
    Results<T> y(given_.x.size());
    kernels_.apply(
        {given_.common(), given_.x.data(), given_.mask(), given_.center.data(),
         given_.scale.data(), given_.shift.data(), y.data()},
        pool_);
    Each([&](int64_t r, int64_t p, int64_t c) {
      const double z = given_.linear(r, p, c);
      Close(Value(y[given_.at(r, p, c)]), Function(given_.function, z),
            std::fabs(z), Kind<T>::narrow + 4 * Kind<T>::close + Far(), "y");
    });
    Keep(y);
  }

  void Sums() {
    const int64_t tables = given_.view.rows * given_.view.channels;
    std::vector<S> sum(tables, -1), product(tables, -1);
    kernels_.gradient_sums(
        {given_.common(), given_.x.data(), given_.dy.data(), given_.mask(),
         given_.center.data(), given_.scale.data(), given_.shift.data(),
         sum.data(), product.data()},
        pool_);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t c = 0; c < given_.view.channels; ++c) {
        const int64_t i = r * given_.view.channels + c;
        long double one = 0, two = 0, size = 0;
        for (int64_t p = 0; p < given_.view.positions(); ++p) {
          const double g = given_.Before(r, p, c);
          const double z = g * (given_.read(r, p, c) - given_.center[i]);
          one += g;
          two += z;
          size += std::fabs(g) + std::fabs(z);
        }
        Close(sum[i], one, size, 4 * Kind<T>::close + Steep(), "sum");
        Close(product[i], two, size, 4 * Kind<T>::close + Steep(), "product");
      }
    }
    Keep(sum);
    Keep(product);
  }

  void Combine() {
    for (const bool through : {true, false}) {
      Results<T> dx(given_.x.size());
      kernels_.gradient_combine(
          {given_.common(), given_.x.data(), given_.dy.data(), given_.mask(),
           given_.center.data(), given_.scale.data(), given_.shift.data(),
           through ? given_.b.data() : nullptr,
           through ? given_.d.data() : nullptr, dx.data()},
          pool_);
      Each([&](int64_t r, int64_t p, int64_t c) {
        const int64_t i = r * given_.view.channels + c;
        double want = given_.Before(r, p, c) * given_.scale[i];
        if (through && given_.kept(r, p)) {
          want += (given_.read(r, p, c) - given_.center[i]) * given_.b[i] +
                  given_.d[i];
        }
        Close(Value(dx[given_.at(r, p, c)]), want, std::fabs(want) + 3,
              Kind<T>::narrow + 4 * Kind<T>::close + Steep(), "dx");
      });
      Keep(dx);
    }
  }

  // Group norm, against the composition of the other kernels.
  void Group(int64_t groups) {
    const int64_t size = given_.view.channels / groups,
                  n = given_.view.positions();
    std::vector<S> gamma = given_.b, beta = given_.d;
    gamma.resize(given_.view.channels);
    beta.resize(given_.view.channels);
    const kn::CommonArguments common = given_.common(groups, 1e-3);
    std::vector<S> mean(given_.view.rows * groups), residual(mean), rstd(mean);
    Results<T> y(given_.x.size()), dx(given_.x.size());
    kernels_.group_norm({common, given_.x.data(), gamma.data(), beta.data(),
                         y.data(), mean.data(), residual.data(), rstd.data()},
                        pool_);
    std::vector<S> d_gamma(given_.view.channels), d_beta(given_.view.channels);
    kernels_.group_norm_gradient(
        {common, given_.x.data(), given_.dy.data(), gamma.data(), beta.data(),
         mean.data(), residual.data(), rstd.data(), dx.data(), d_gamma.data(),
         d_beta.data()},
        pool_);
    std::vector<double> want_gamma(given_.view.channels), want_beta(want_gamma),
        sizes(given_.view.channels);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        const auto each = [&](auto f) {
          for (int64_t c = g * size; c < (g + 1) * size; ++c) {
            for (int64_t p = 0; p < n; ++p) f(c, p);
          }
        };
        long double m = 0, v = 0, all = 0, along = 0;
        each([&](int64_t c, int64_t p) { m += given_.read(r, p, c); });
        m = n ? m / (n * size) : 0;
        each([&](int64_t c, int64_t p) {
          v += (given_.read(r, p, c) - m) * (given_.read(r, p, c) - m);
        });
        v = n ? v / (n * size) : 0;
        const long double over = 1 / std::sqrt(v + 1e-3L);
        const auto hat = [&](int64_t c, int64_t p) {
          return double((given_.read(r, p, c) - m) * over);
        };
        const auto before = [&](int64_t c, int64_t p) {
          const double z = hat(c, p) * gamma[c] + beta[c];
          return Value(given_.dy[given_.at(r, p, c)]) *
                 Slope(given_.function, z);
        };
        each([&](int64_t c, int64_t p) {
          const double z = hat(c, p) * gamma[c] + beta[c];
          Close(Value(y[given_.at(r, p, c)]), Function(given_.function, z),
                std::fabs(z), Kind<T>::narrow + 4 * Kind<T>::close, "group y");
          const double g = before(c, p);
          all += g * gamma[c];
          along += g * gamma[c] * hat(c, p);
          want_beta[c] += g;
          want_gamma[c] += g * hat(c, p);
          sizes[c] += std::fabs(g) * (1 + std::fabs(hat(c, p)));
        });
        each([&](int64_t c, int64_t p) {
          const double want = over * (before(c, p) * gamma[c] -
                                      (all + along * hat(c, p)) / (n * size));
          Close(Value(dx[given_.at(r, p, c)]), want,
                std::fabs(want) + double(over),
                Kind<T>::narrow + 8 * Kind<T>::close + Steep(), "group dx");
        });
      }
    }
    for (int64_t c = 0; checked_ > 0 && c < given_.view.channels; ++c) {
      const double bound = 8 * Kind<T>::close + Steep();
      Close(d_beta[c], want_beta[c], sizes[c], bound, "d beta");
      Close(d_gamma[c], want_gamma[c], sizes[c], bound, "d gamma");
    }
    Keep(y);
    Keep(dx);
    Keep(d_gamma);
  }

  // A difference quotient is no exact oracle.
  double Steep() const {
    return given_.function == kn::Activation::kIdentity ? 0 : 1e-9;
  }
  // float32 centers beside means of 1e4.
  double Far() const { return given_.mean > 100 ? 1e-6 : 0; }

  template <class F>
  void Each(const F& f) {
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t p = 0; p < given_.view.positions(); ++p) {
        for (int64_t c = 0; c < given_.view.channels; ++c) f(r, p, c);
      }
    }
  }

  const kn::Kernels& kernels_;
  const Given<T> given_;
  const kn::Workers& pool_;
  const int64_t checked_;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_TRIED_H_
