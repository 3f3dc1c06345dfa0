// The kernels of the two passes and of their gradient, for CPUs.
//
// x is seen as [rows, outer, channels, inner], see ../contract/arguments.h. A
// row is what has moments of its own. Tables are [rows, channels]. Bytes
// moved, in copies of x from or to memory (R read, W written), where a row
// does not fit in a core's cache (in brackets, where it does):
//
//   Moments          count, mean, variance, residual             1R
//   Apply            y = f((x - center) scale + shift)            1R 1W
//   GradientSums     sums of g and of g (x - center)              2R
//   GradientCombine  dx = g scale + (x - center) b + d            2R 1W
//   GroupNorm        Moments, pooled by groups, and Apply   2R 1W [1R 1W]
//   GroupNormGradient  GradientSums, GradientCombine        4R 1W [2R 1W]
//
// with g = dy f'((x - center) scale + shift), recomputed. Sums are float32
// about a value near the mean, folded into float64 every 64 additions; float64
// for float64. How a row is cut into chunks depends on its shape alone, and
// chunks are merged in their order: the same bits for any number of threads.
//
// `mask` is null, or a byte for each position [rows, outer, inner]. Where
// it is false, x is not in Moments, dx does not go through them, and x is read
// as 0 if it is not finite.

#ifndef KERAS_NORMS_CPU_KERNELS_H_
#define KERAS_NORMS_CPU_KERNELS_H_

#include <cstdint>

#include "../contract/arguments.h"

namespace keras_norms {

// Something that runs work(context, 0), ..., work(context, items - 1), in any
// order, on any threads, and returns when all are done.
class Workers {
 public:
  virtual ~Workers() = default;
  virtual int threads() const = 0;
  virtual void Run(int64_t items, void (*work)(void* context, int64_t item),
                   void* context) const = 0;
};

// A function for each operation of ../contract/operations.def.
struct Kernels {
  const char* name;
#define KERAS_NORMS_OPERATION(Name, name, ...) \
  void (*name)(const Name##Arguments&, const Workers&);
#include "../contract/operations.def"
};

#define KERAS_NORMS_OPERATION(Name, name, ...)                              \
  inline void Run(const Kernels& kernels, const Name##Arguments& arguments, \
                  const Workers& workers) {                                 \
    kernels.name(arguments, workers);                                       \
  }
#include "../contract/operations.def"

// The best for the processor that this runs on.
const Kernels& BestKernels();

// By name, for tests; null where this processor cannot run them.
const Kernels* KernelsNamed(const char* name);

// What the last cache holds, of all that processors may share.
int64_t CacheBytes();

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_KERNELS_H_
