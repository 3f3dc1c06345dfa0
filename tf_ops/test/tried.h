// All kernels on one case, against sums written out in long double.

#ifndef KERAS_NORMS_TEST_TRIED_H_
#define KERAS_NORMS_TEST_TRIED_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "check.h"
#include "oracles.h"

namespace {

// Memory that begins with a line of the cache, as TensorFlow's tensors do:
// what else is not stored past it.
template <class T>
struct Lines {
  using value_type = T;
  Lines() = default;
  template <class U>
  Lines(const Lines<U>&) {}
  T* allocate(size_t n) {
    return static_cast<T*>(
        std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64));
  }
  void deallocate(T* data, size_t) { std::free(data); }
  bool operator==(const Lines&) const { return true; }
  bool operator!=(const Lines&) const { return false; }
};
template <class T>
using Results = std::vector<T, Lines<T>>;

struct Case {
  kn::View view;
  bool masked;
  double mean;
  kn::Activation function;
};

template <class T>
class Tried {
  using S = typename Kind<T>::Table;

 public:
  Tried(const kn::Kernels& kernels, const Case& given, const kn::Workers& pool,
        bool checks)
      : kernels_(kernels),
        given_(given),
        view_(given.view),
        pool_(pool),
        // Rows that are gone through for their exact values.
        checked_(checks ? given.view.rows : 0) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    const int64_t size = view_.rows * view_.positions() * view_.channels;
    for (int64_t i = 0; i < size; ++i) {
      x_.push_back(Of<T>(given.mean + normal(random)));
      dy_.push_back(Of<T>(normal(random)));
    }
    keep_.reset(new kn::Truth[view_.rows * view_.positions() + 1]);
    for (int64_t i = 0; i < view_.rows * view_.positions(); ++i) {
      keep_[i] = i % 3 == 1 ? 0 : i % 3 == 2 ? 255 : 1;
    }
    if (given.masked && size > 0) {
      // What is masked may be anything.
      for (int64_t r = 0; r < view_.rows; ++r) {
        for (int64_t p = 0; p < view_.positions(); ++p) {
          if (kept(r, p)) continue;
          x_[at(r, p, 0)] = Of<T>(std::numeric_limits<float>::quiet_NaN());
        }
      }
    }
    for (int64_t i = 0; i < view_.rows * view_.channels; ++i) {
      center_.push_back(S(given.mean + normal(random)));
      scale_.push_back(S(normal(random)));
      shift_.push_back(S(normal(random)));
      b_.push_back(S(normal(random)));
      d_.push_back(S(normal(random)));
    }
  }

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
    int64_t some = view_.channels / 2;
    while (some > 1 && view_.channels % some) --some;
    Group(1);
    if (some > 1) Group(some);
    if (view_.channels > 1) Group(view_.channels);
  }

  std::vector<S> bits;  // all results, to compare between pools

 private:
  int64_t at(int64_t r, int64_t p, int64_t c) const {
    const int64_t outer = p / view_.inner, inner = p % view_.inner;
    return ((r * view_.outer + outer) * view_.channels + c) * view_.inner +
           inner;
  }

  bool kept(int64_t r, int64_t p) const {
    return !given_.masked || keep_[r * view_.positions() + p];
  }

  // What is computed with.
  double read(int64_t r, int64_t p, int64_t c) const {
    const double x = Value(x_[at(r, p, c)]);
    return !kept(r, p) && !std::isfinite(x) ? 0 : x;
  }

  const kn::Truth* mask() const {
    return given_.masked ? keep_.get() : nullptr;
  }

  void Close(double got, double want, double size, double bound,
             const char* what) {
    const bool good = std::fabs(got - want) <= bound * std::max(size, 1.0);
    Check(good, std::string(what) + ": " + std::to_string(got) + ", not " +
                    std::to_string(want) + Describe());
  }

  std::string Describe() const {
    const std::string x = "x", sizes = std::to_string(view_.rows) + x +
                                       std::to_string(view_.outer) + x +
                                       std::to_string(view_.channels) + x +
                                       std::to_string(view_.inner);
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
    const int64_t tables = view_.rows * view_.channels;
    std::vector<S> count(view_.rows, -1), mean(tables, -1),
        variance(tables, -1), residual(tables, -1);
    kernels_.moments(view_, Kind<T>::type, x_.data(), mask(), count.data(),
                     mean.data(), variance.data(), residual.data(), pool_);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t c = 0; c < view_.channels; ++c) {
        long double n = 0, sum = 0, square = 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          if (!kept(r, p)) continue;
          ++n;
          sum += read(r, p, c);
        }
        const long double exact = n ? sum / n : 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          if (!kept(r, p)) continue;
          square += (read(r, p, c) - exact) * (read(r, p, c) - exact);
        }
        const int64_t i = r * view_.channels + c;
        Close(count[r], n, 1, 0, "count");
        Close(double(mean[i]) + double(residual[i]), exact, 1,
              Kind<T>::close, "mean");
        Close(variance[i], n ? square / n : 0, 1, 3 * Kind<T>::close,
              "variance");
      }
    }
    Keep(mean);
    Keep(variance);
    Keep(residual);
  }

  kn::Line line() const {
    return {{center_.data(), scale_.data(), shift_.data()},
            given_.function,
            mask()};
  }

  double linear(int64_t r, int64_t p, int64_t c) const {
    const int64_t i = r * view_.channels + c;
    return (read(r, p, c) - center_[i]) * scale_[i] + shift_[i];
  }

  void Apply() {
    Results<T> y(x_.size());
    kernels_.apply(view_, Kind<T>::type, x_.data(), line(), y.data(), pool_);
    Each([&](int64_t r, int64_t p, int64_t c) {
      const double z = linear(r, p, c);
      Close(Value(y[at(r, p, c)]), Function(given_.function, z), std::fabs(z),
            Kind<T>::narrow + 4 * Kind<T>::close + Far(), "y");
    });
    Keep(y);
  }

  void Sums() {
    const int64_t tables = view_.rows * view_.channels;
    std::vector<S> sum(tables, -1), product(tables, -1);
    kernels_.gradient_sums(view_, Kind<T>::type, x_.data(), dy_.data(), line(),
                           sum.data(), product.data(), pool_);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t c = 0; c < view_.channels; ++c) {
        const int64_t i = r * view_.channels + c;
        long double one = 0, two = 0, size = 0;
        for (int64_t p = 0; p < view_.positions(); ++p) {
          const double g = Before(r, p, c);
          const double z = g * (read(r, p, c) - center_[i]);
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
      Results<T> dx(x_.size());
      kernels_.gradient_combine(view_, Kind<T>::type, x_.data(), dy_.data(),
                                line(), through ? b_.data() : nullptr,
                                through ? d_.data() : nullptr, dx.data(),
                                pool_);
      Each([&](int64_t r, int64_t p, int64_t c) {
        const int64_t i = r * view_.channels + c;
        double want = Before(r, p, c) * scale_[i];
        if (through && kept(r, p)) {
          want += (read(r, p, c) - center_[i]) * b_[i] + d_[i];
        }
        Close(Value(dx[at(r, p, c)]), want, std::fabs(want) + 3,
              Kind<T>::narrow + 4 * Kind<T>::close + Steep(), "dx");
      });
      Keep(dx);
    }
  }

  // Group norm, against the composition of the other kernels.
  void Group(int64_t groups) {
    const int64_t size = view_.channels / groups, n = view_.positions();
    std::vector<S> gamma = b_, beta = d_;
    gamma.resize(view_.channels);
    beta.resize(view_.channels);
    const kn::Groups how = {groups, 1e-3, given_.function, gamma.data(),
                            beta.data()};
    std::vector<S> mean(view_.rows * groups), residual(mean), inverse(mean);
    Results<T> y(x_.size()), dx(x_.size());
    const kn::GroupMoments kept = {mean.data(), residual.data(),
                                   inverse.data()};
    kernels_.group_norm(view_, Kind<T>::type, x_.data(), how, y.data(), kept,
                        pool_);
    std::vector<S> d_gamma(view_.channels), d_beta(view_.channels);
    kernels_.group_norm_gradient(view_, Kind<T>::type, x_.data(), dy_.data(),
                                 how, kept, dx.data(), d_gamma.data(),
                                 d_beta.data(), pool_);
    std::vector<double> want_gamma(view_.channels), want_beta(want_gamma),
        sizes(view_.channels);
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        const auto each = [&](auto f) {
          for (int64_t c = g * size; c < (g + 1) * size; ++c) {
            for (int64_t p = 0; p < n; ++p) f(c, p);
          }
        };
        long double m = 0, v = 0, all = 0, along = 0;
        each([&](int64_t c, int64_t p) { m += read(r, p, c); });
        m = n ? m / (n * size) : 0;
        each([&](int64_t c, int64_t p) {
          v += (read(r, p, c) - m) * (read(r, p, c) - m);
        });
        v = n ? v / (n * size) : 0;
        const long double over = 1 / std::sqrt(v + 1e-3L);
        const auto hat = [&](int64_t c, int64_t p) {
          return double((read(r, p, c) - m) * over);
        };
        const auto before = [&](int64_t c, int64_t p) {
          const double z = hat(c, p) * gamma[c] + beta[c];
          return Value(dy_[at(r, p, c)]) * Slope(given_.function, z);
        };
        each([&](int64_t c, int64_t p) {
          const double z = hat(c, p) * gamma[c] + beta[c];
          Close(Value(y[at(r, p, c)]), Function(given_.function, z),
                std::fabs(z), Kind<T>::narrow + 4 * Kind<T>::close, "group y");
          const double g = before(c, p);
          all += g * gamma[c];
          along += g * gamma[c] * hat(c, p);
          want_beta[c] += g;
          want_gamma[c] += g * hat(c, p);
          sizes[c] += std::fabs(g) * (1 + std::fabs(hat(c, p)));
        });
        each([&](int64_t c, int64_t p) {
          const double want =
              over * (before(c, p) * gamma[c] -
                      (all + along * hat(c, p)) / (n * size));
          Close(Value(dx[at(r, p, c)]), want,
                std::fabs(want) + double(over),
                Kind<T>::narrow + 8 * Kind<T>::close + Steep(), "group dx");
        });
      }
    }
    for (int64_t c = 0; checked_ > 0 && c < view_.channels; ++c) {
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

  double Before(int64_t r, int64_t p, int64_t c) const {
    return Value(dy_[at(r, p, c)]) *
           Slope(given_.function, linear(r, p, c));
  }

  template <class F>
  void Each(const F& f) {
    for (int64_t r = 0; r < checked_; ++r) {
      for (int64_t p = 0; p < view_.positions(); ++p) {
        for (int64_t c = 0; c < view_.channels; ++c) f(r, p, c);
      }
    }
  }

  const kn::Kernels& kernels_;
  Case given_;
  kn::View view_;
  const kn::Workers& pool_;
  const int64_t checked_;
  std::vector<T> x_, dy_;
  std::unique_ptr<kn::Truth[]> keep_;
  std::vector<S> center_, scale_, shift_, b_, d_;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_TRIED_H_
