// The tensors of one test case.

#ifndef KERAS_NORMS_TEST_CASE_H_
#define KERAS_NORMS_TEST_CASE_H_

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "../contract/arguments.h"
#include "oracles.h"

namespace {

// Allocates memory that is aligned to cache lines, as TensorFlow's tensors are.
// The kernels use non-temporal stores only for such results.
template <class T>
struct CacheLineAllocator {
  using value_type = T;
  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(size_t n) {
    return static_cast<T*>(
        std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64));
  }
  void deallocate(T* data, size_t) { std::free(data); }
  bool operator==(const CacheLineAllocator&) const { return true; }
  bool operator!=(const CacheLineAllocator&) const { return false; }
};
template <class T>
using Results = std::vector<T, CacheLineAllocator<T>>;

struct Case {
  kn::View view;
  bool masked;
  double mean;
  kn::Activation activation;
};

template <class T>
struct CaseData {
  using S = typename TypeTraits<T>::Statistic;

  explicit CaseData(const Case& test)
      : view(test.view),
        masked(test.masked),
        mean(test.mean),
        activation(test.activation) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    const int64_t size = view.rows * view.positions() * view.channels;
    for (int64_t i = 0; i < size; ++i) {
      x.push_back(FromDouble<T>(mean + normal(random)));
      dy.push_back(FromDouble<T>(normal(random)));
    }
    mask_bytes.reset(new kn::MaskByte[view.rows * view.positions() + 1]);
    for (int64_t i = 0; i < view.rows * view.positions(); ++i) {
      mask_bytes[i] = i % 3 == 1 ? 0 : i % 3 == 2 ? 255 : 1;
    }
    if (masked && size > 0) {
      // Masked positions may hold anything.
      for (int64_t r = 0; r < view.rows; ++r) {
        for (int64_t p = 0; p < view.positions(); ++p) {
          if (valid(r, p)) continue;
          x[index(r, p, 0)] =
              FromDouble<T>(std::numeric_limits<float>::quiet_NaN());
        }
      }
    }
    for (int64_t i = 0; i < view.rows * view.channels; ++i) {
      center.push_back(S(mean + normal(random)));
      scale.push_back(S(normal(random)));
      shift.push_back(S(normal(random)));
      slope.push_back(S(normal(random)));
      offset.push_back(S(normal(random)));
    }
  }

  // Row r, position p, channel c.
  int64_t index(int64_t r, int64_t p, int64_t c) const {
    const int64_t outer = p / view.inner, inner = p % view.inner;
    return ((r * view.outer + outer) * view.channels + c) * view.inner + inner;
  }

  bool valid(int64_t r, int64_t p) const {
    return !masked || mask_bytes[r * view.positions() + p];
  }

  // x as the kernels must read it.
  double value(int64_t r, int64_t p, int64_t c) const {
    const double stored = ToDouble(x[index(r, p, c)]);
    return !valid(r, p) && !std::isfinite(stored) ? 0 : stored;
  }

  const kn::MaskByte* mask() const {
    return masked ? mask_bytes.get() : nullptr;
  }

  kn::CommonArguments common(int64_t groups = 1, double epsilon = 0) const {
    return {view, TypeTraits<T>::type, activation, groups, epsilon};
  }

  double z(int64_t r, int64_t p, int64_t c) const {
    const int64_t i = r * view.channels + c;
    return (value(r, p, c) - center[i]) * scale[i] + shift[i];
  }

  // The gradient of z.
  double gradient(int64_t r, int64_t p, int64_t c) const {
    return ToDouble(dy[index(r, p, c)]) * Derivative(activation, z(r, p, c));
  }

  const kn::View view;
  const bool masked;
  const double mean;
  const kn::Activation activation;
  std::vector<T> x, dy;
  std::unique_ptr<kn::MaskByte[]> mask_bytes;
  std::vector<S> center, scale, shift, slope, offset;
};

}  // namespace

#endif  // KERAS_NORMS_TEST_CASE_H_
