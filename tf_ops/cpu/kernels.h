// The kernels for CPUs.
//
// ../contract/operations.def defines what they compute, and arguments.h there
// how x is viewed. Bytes moved from or to memory, in copies of x (R read, W
// written), if a row does not fit in the cache of a core; in brackets, if it
// does:
//
//   Moments            count, mean, variance, residual          1R
//   Apply              y = f((x - center) scale + shift)        1R 1W
//   GradientSums       sums of g and of g (x - center)          2R
//   GradientCombine    dx = g scale + (x - center) slope        2R 1W
//                           + offset
//   GroupNorm          Moments, pooled by groups, and Apply     2R 1W [1R 1W]
//   GroupNormGradient  GradientSums and GradientCombine         4R 1W [2R 1W]
//                      both, for rows of one position    1R 1W, gradient 2R 1W
//   Depthwise          y = sum of kernel[d] x[p + d], + shift   1R 1W
//   DepthwiseGradient  the gradients of x, kernel and shift     2R 1W
//
// with g = dy f'((x - center) scale + shift), which is recomputed.
//
// Sums are taken relative to a pivot near the mean, in float32 for up to 64
// runs and then in float64; for float64, in float64. Chunks depend only on the
// shape of x and are merged in order, so the results have the same bits with
// any number of threads.

#ifndef KERAS_NORMS_CPU_KERNELS_H_
#define KERAS_NORMS_CPU_KERNELS_H_

#include <cstdint>

#include "../contract/arguments.h"

namespace keras_norms {

// Runs work(context, 0), ..., work(context, items - 1) in any order on any
// threads, and returns when all are done.
class Workers {
 public:
  virtual ~Workers() = default;
  virtual int threads() const = 0;
  virtual void Run(int64_t items, void (*work)(void* context, int64_t item),
                   void* context) const = 0;
};

class OneThread : public Workers {
 public:
  int threads() const override { return 1; }
  void Run(int64_t items, void (*work)(void*, int64_t),
           void* context) const override {
    for (int64_t i = 0; i < items; ++i) work(context, i);
  }
};

// A function for each operation of ../contract/operations.def.
struct Kernels {
  const char* name;
#define KERAS_NORMS_OPERATION(Name, name, ...) \
  void (*name)(const Name##Arguments&, const Workers&);
#include "../contract/operations.def"
};

// Whether one thread is done with x before another one would be awake.
inline bool IsSmall(const CommonArguments& arguments) {
  constexpr int64_t kMinElements = 1 << 17;
  const View& view = arguments.view;
  return view.rows * view.positions() * view.channels < kMinElements;
}

#define KERAS_NORMS_OPERATION(Name, name, ...)                              \
  inline void Run(const Kernels& kernels, const Name##Arguments& arguments, \
                  const Workers& workers) {                                 \
    if (IsSmall(arguments)) {                                               \
      kernels.name(arguments, OneThread());                                 \
    } else {                                                                \
      kernels.name(arguments, workers);                                     \
    }                                                                       \
  }
#include "../contract/operations.def"

// The best kernels for this processor.
const Kernels& BestKernels();

// Kernels by name, for tests; null if this processor cannot run them.
const Kernels* KernelsNamed(const char* name);

// The size of the last-level cache, which processors may share.
int64_t CacheBytes();

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_KERNELS_H_
