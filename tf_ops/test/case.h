// What the kernels are tried on: x, dy, a mask and tables of one case.

#ifndef KERAS_NORMS_TEST_GIVEN_H_
#define KERAS_NORMS_TEST_GIVEN_H_

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "../contract/arguments.h"
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
struct Given {
  using S = typename Kind<T>::Table;

  explicit Given(const Case& given)
      : view(given.view),
        masked(given.masked),
        mean(given.mean),
        function(given.function) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    const int64_t size = view.rows * view.positions() * view.channels;
    for (int64_t i = 0; i < size; ++i) {
      x.push_back(Of<T>(mean + normal(random)));
      dy.push_back(Of<T>(normal(random)));
    }
    keep.reset(new kn::MaskByte[view.rows * view.positions() + 1]);
    for (int64_t i = 0; i < view.rows * view.positions(); ++i) {
      keep[i] = i % 3 == 1 ? 0 : i % 3 == 2 ? 255 : 1;
    }
    if (masked && size > 0) {
      // What is masked may be anything.
      for (int64_t r = 0; r < view.rows; ++r) {
        for (int64_t p = 0; p < view.positions(); ++p) {
          if (kept(r, p)) continue;
          x[at(r, p, 0)] = Of<T>(std::numeric_limits<float>::quiet_NaN());
        }
      }
    }
    for (int64_t i = 0; i < view.rows * view.channels; ++i) {
      center.push_back(S(mean + normal(random)));
      scale.push_back(S(normal(random)));
      shift.push_back(S(normal(random)));
      b.push_back(S(normal(random)));
      d.push_back(S(normal(random)));
    }
  }

  int64_t at(int64_t r, int64_t p, int64_t c) const {
    const int64_t outer = p / view.inner, inner = p % view.inner;
    return ((r * view.outer + outer) * view.channels + c) * view.inner + inner;
  }

  bool kept(int64_t r, int64_t p) const {
    return !masked || keep[r * view.positions() + p];
  }

  // What is computed with.
  double read(int64_t r, int64_t p, int64_t c) const {
    const double value = Value(x[at(r, p, c)]);
    return !kept(r, p) && !std::isfinite(value) ? 0 : value;
  }

  const kn::MaskByte* mask() const { return masked ? keep.get() : nullptr; }

  // What any operation takes besides tensors.
  kn::CommonArguments common(int64_t groups = 1, double epsilon = 0) const {
    return {view, Kind<T>::type, function, groups, epsilon};
  }

  double linear(int64_t r, int64_t p, int64_t c) const {
    const int64_t i = r * view.channels + c;
    return (read(r, p, c) - center[i]) * scale[i] + shift[i];
  }

  // The gradient before the activation.
  double Before(int64_t r, int64_t p, int64_t c) const {
    return Value(dy[at(r, p, c)]) * Slope(function, linear(r, p, c));
  }

  const kn::View view;
  const bool masked;
  const double mean;
  const kn::Activation function;
  std::vector<T> x, dy;
  std::unique_ptr<kn::MaskByte[]> keep;
  std::vector<S> center, scale, shift, b, d;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_GIVEN_H_
