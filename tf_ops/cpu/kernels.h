// The kernels of the two passes and of their gradient, for CPUs.
//
// x is seen as [rows, outer, channels, inner]. A row is what has moments of
// its own; inner is 1 for channels last. Tables are [rows, channels]. Bytes
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

#include "activation.h"

namespace keras_norms {

// Of a mask: false where it is 0. Not every byte that says true is a 1, and
// C++ has no other.
using Truth = unsigned char;

enum class Type { kFloat, kDouble, kHalf, kBfloat16 };

struct View {
  int64_t rows;
  int64_t outer;
  int64_t channels;
  int64_t inner;

  int64_t positions() const { return outer * inner; }
};

// Something that runs work(context, 0), ..., work(context, items - 1), in any
// order, on any threads, and returns when all are done.
class Workers {
 public:
  virtual ~Workers() = default;
  virtual int threads() const = 0;
  virtual void Run(int64_t items, void (*work)(void* context, int64_t item),
                   void* context) const = 0;
};

// float, but double for Type::kDouble.
struct Tables {
  const void* center;
  const void* scale;
  const void* shift;
};

struct Line {
  Tables tables;
  Activation function;
  const Truth* mask;
};

struct Groups {
  int64_t count;
  double epsilon;
  Activation function;
  const void* gamma;  // [channels], or null for ones
  const void* beta;   // [channels], or null for zeros
};

// What a group norm keeps for its gradient: [rows, groups] each.
struct GroupMoments {
  void* mean;
  void* residual;
  void* inverse;  // 1 / sqrt(variance + epsilon)
};

struct Kernels {
  const char* name;
  void (*moments)(const View&, Type, const void* x, const Truth* mask,
                  void* count, void* mean, void* variance, void* residual,
                  const Workers&);
  void (*apply)(const View&, Type, const void* x, const Line&, void* y,
                const Workers&);
  void (*gradient_sums)(const View&, Type, const void* x, const void* dy,
                        const Line&, void* sum, void* product, const Workers&);
  // b and d may be null, for zeros.
  void (*gradient_combine)(const View&, Type, const void* x, const void* dy,
                           const Line&, const void* b, const void* d, void* dx,
                           const Workers&);
  void (*group_norm)(const View&, Type, const void* x, const Groups&, void* y,
                     const GroupMoments&, const Workers&);
  void (*group_norm_gradient)(const View&, Type, const void* x, const void* dy,
                              const Groups&, const GroupMoments&, void* dx,
                              void* d_gamma, void* d_beta, const Workers&);
};

// The best for the processor that this runs on.
const Kernels& BestKernels();

// By name, for tests; null where this processor cannot run them.
const Kernels* KernelsNamed(const char* name);

// What the last cache holds, of all that processors may share.
int64_t CacheBytes();

// Where rows are `examples` consecutive examples (-1: all; those that do not
// divide the batch: 1), of sizes with channels at `axis`.
View ViewOf(const int64_t* sizes, int rank, int axis, int64_t examples);

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_KERNELS_H_
