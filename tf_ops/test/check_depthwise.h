// Tests the depthwise convolution against sums in long double.

#ifndef KERAS_NORMS_TEST_CHECK_DEPTHWISE_H_
#define KERAS_NORMS_TEST_CHECK_DEPTHWISE_H_

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "../contract/validation.h"
#include "../cpu/kernels.h"
#include "case.h"
#include "expect.h"
#include "oracles.h"

namespace {

struct DepthwiseCase {
  kn::Sizes sizes;  // of x
  int64_t window;
  bool shifted;
};

template <class T>
class DepthwiseChecks {
  using S = typename TypeTraits<T>::Statistic;

 public:
  explicit DepthwiseChecks(const DepthwiseCase& test) : test_(test) {
    kn::Attributes attributes;
    attributes.axis = static_cast<int64_t>(test.sizes.size()) - 1;
    attributes.window = test.window;
    common_ =
        kn::CommonArgumentsOf(test.sizes, TypeTraits<T>::type, attributes);
    channels_ = test.sizes.back();
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    x_.resize(kn::ElementsOf(test.sizes));
    dy_.resize(x_.size());
    kernel_.resize(common_.spatial.window_positions() * channels_);
    shift_.resize(test.sizes[0] * channels_);
    for (T& value : x_) value = FromDouble<T>(normal(random));
    for (T& value : dy_) value = FromDouble<T>(normal(random));
    for (S& value : kernel_) value = S(normal(random));
    for (S& value : shift_) value = S(normal(random));
  }

  // Returns all results, for comparisons between runs.
  std::vector<S> Run(const kn::Kernels& kernels, const kn::Workers& workers,
                     bool compare) {
    Results<T> y(x_.size()), dx(x_.size());
    std::vector<S> d_kernel(kernel_.size(), -1), d_shift(shift_.size(), -1);
    kn::DepthwiseArguments forward;
    static_cast<kn::CommonArguments&>(forward) = common_;
    forward.x = x_.data();
    forward.kernel = kernel_.data();
    forward.shift = test_.shifted ? shift_.data() : nullptr;
    forward.y = y.data();
    kernels.depthwise(forward, workers);
    kn::DepthwiseGradientArguments backward;
    static_cast<kn::CommonArguments&>(backward) = common_;
    backward.x = x_.data();
    backward.dy = dy_.data();
    backward.kernel = kernel_.data();
    backward.dx = dx.data();
    backward.d_kernel = d_kernel.data();
    backward.d_shift = d_shift.data();
    kernels.depthwise_gradient(backward, workers);
    if (compare) Compare(kernels, y, dx, d_kernel, d_shift);
    std::vector<S> results(d_kernel);
    results.insert(results.end(), d_shift.begin(), d_shift.end());
    for (const T value : y) results.push_back(S(ToDouble(value)));
    for (const T value : dx) results.push_back(S(ToDouble(value)));
    return results;
  }

 private:
  struct Sum {
    long double value = 0, magnitude = 0;
    void Add(long double term) {
      value += term;
      magnitude += std::fabs(term);
    }
  };

  // Calls f(from, to, weight) for all pairs of positions of an output and of an
  // input that the window at the output contains. They are element indices.
  template <class F>
  void ForEachPair(const F& f) const {
    const kn::Spatial& s = common_.spatial;
    const int64_t positions = s.depth * s.height * s.width;
    for (int64_t n = 0; n < test_.sizes[0]; ++n) {
      for (int64_t out = 0; out < positions; ++out) {
        for (int64_t tap = 0; tap < s.window_positions(); ++tap) {
          const int64_t d = out / (s.height * s.width) - s.window_depth / 2 +
                            tap / (s.window_height * s.window_width);
          const int64_t h = out / s.width % s.height - s.window_height / 2 +
                            tap / s.window_width % s.window_height;
          const int64_t w =
              out % s.width - s.window_width / 2 + tap % s.window_width;
          if (d < 0 || d >= s.depth || h < 0 || h >= s.height || w < 0 ||
              w >= s.width) {
            continue;
          }
          const int64_t in = (d * s.height + h) * s.width + w;
          for (int64_t c = 0; c < channels_; ++c) {
            f((n * positions + in) * channels_ + c,
              (n * positions + out) * channels_ + c, tap * channels_ + c);
          }
        }
      }
    }
  }

  void Compare(const kn::Kernels& kernels, const Results<T>& y,
               const Results<T>& dx, const std::vector<S>& d_kernel,
               const std::vector<S>& d_shift) {
    std::vector<Sum> wanted_y(y.size()), wanted_dx(dx.size()),
        wanted_kernel(d_kernel.size()), wanted_shift(d_shift.size());
    ForEachPair([&](int64_t from, int64_t to, int64_t weight) {
      const long double x = ToDouble(x_[from]), dy = ToDouble(dy_[to]);
      wanted_y[to].Add(x * kernel_[weight]);
      wanted_dx[from].Add(dy * kernel_[weight]);
      wanted_kernel[weight].Add(dy * x);
    });
    const int64_t example = x_.size() / (test_.sizes[0] ? test_.sizes[0] : 1);
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t shift = i / example * channels_ + i % channels_;
      if (test_.shifted) wanted_y[i].Add(shift_[shift]);
      wanted_shift[shift].Add(ToDouble(dy_[i]));
    }
    const double narrow = TypeTraits<T>::narrow, close = TypeTraits<T>::close;
    const std::string isa = kernels.name;
    Close(y, wanted_y, narrow + close, isa + ", y");
    Close(dx, wanted_dx, narrow + close, isa + ", dx");
    Close(d_kernel, wanted_kernel, close, isa + ", d_kernel");
    Close(d_shift, wanted_shift, close, isa + ", d_shift");
  }

  template <class V>
  void Close(const V& results, const std::vector<Sum>& wanted, double bound,
             const std::string& what) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      const double got = ToDouble(results[i]);
      const bool good = std::fabs(got - wanted[i].value) <=
                        bound * std::fmax(double(wanted[i].magnitude), 1e-3);
      Expect(good, "depthwise, " + what + ": " + std::to_string(got) +
                       ", not " + std::to_string(double(wanted[i].value)) +
                       " (x " + kn::Describe(test_.sizes) + ", window " +
                       std::to_string(test_.window) + ", type " +
                       std::to_string(int(TypeTraits<T>::type)) + ")");
    }
  }

  const DepthwiseCase test_;
  kn::CommonArguments common_;
  int64_t channels_;
  Results<T> x_, dy_;
  std::vector<S> kernel_, shift_;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_CHECK_DEPTHWISE_H_
