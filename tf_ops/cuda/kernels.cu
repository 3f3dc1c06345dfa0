// The kernels of the two passes and of their gradient, for GPUs: compiled by
// NVRTC, without headers of CUDA, once for each architecture.
//
// What they compute is said in ../contract/operations.def, how blocks cover x
// in geometry.h. Bytes moved, in copies of x (R read, W written); parts are 16
// (moments) or 8 (sums) bytes for each channel of a chunk, which has 64 of it
// or more where there are as many, and stay in the second cache:
//
//   moments, pool_moments               instance moments      1R
//   apply                               y                     1R 1W
//   sums, pool_sums                     sums of gradients     2R
//   combine                             dx                    2R 1W
//   moments, pool_moments, apply        group norm            2R 1W
//   fused                               the same              1R 1W
//   sums, pool_sums, combine, affine    its gradient          4R 1W
//
// Second passes go backwards, and find in the cache what first passes have
// read last. Nothing is added by atomics: every part has one writer, and
// parts are put together in an order that follows from the shape.

#include "fused.h"
#include "moments.h"
#include "passes.h"
#include "pools.h"

// Three blocks at once on a multiprocessor keep its memory busy while some add
// up; two, where registers of more would be spilled: `heavy`.
#define KERAS_NORMS_FORM(form, T, V, heavy)                          \
  KERAS_NORMS_KERNEL(keras_norms_moments_##form, heavy,              \
                     keras_norms::MomentsTask) {                     \
    Moments<T, V>(task);                                             \
  }                                                                  \
  KERAS_NORMS_FUNCTIONS(form, identity, T, V, Identity, 3)           \
  KERAS_NORMS_FUNCTIONS(form, any, T, V, Any, heavy)

#define KERAS_NORMS_FUNCTIONS(form, name, T, V, F, heavy)            \
  KERAS_NORMS_KERNEL(keras_norms_apply_##form##_##name, 3,           \
                     keras_norms::ApplyTask) {                       \
    Apply<T, V, F>(task);                                            \
  }                                                                  \
  KERAS_NORMS_KERNEL(keras_norms_sums_##form##_##name, heavy,        \
                     keras_norms::SumsTask) {                        \
    GradientSums<T, V, F>(task);                                     \
  }                                                                  \
  KERAS_NORMS_KERNEL(keras_norms_combine_##form##_##name, heavy,     \
                     keras_norms::CombineTask) {                     \
    GradientCombine<T, V, F>(task);                                  \
  }

#define KERAS_NORMS_WIDE_FORM(form, T, V, heavy)                     \
  KERAS_NORMS_FORM(form, T, V, heavy)                                \
  KERAS_NORMS_KERNEL(keras_norms_fused_##form##_identity, heavy,     \
                     keras_norms::FusedTask) {                       \
    Fused<T, V, Identity>(task);                                     \
  }                                                                  \
  KERAS_NORMS_KERNEL(keras_norms_fused_##form##_any, heavy,          \
                     keras_norms::FusedTask) {                       \
    Fused<T, V, Any>(task);                                          \
  }

KERAS_NORMS_FORM(float, Float, 1, 3)
KERAS_NORMS_FORM(half, Half, 1, 3)
KERAS_NORMS_FORM(bfloat16, Bfloat16, 1, 3)
KERAS_NORMS_WIDE_FORM(float_wide, Float, 4, 3)
KERAS_NORMS_WIDE_FORM(half_wide, Half, 8, 2)
KERAS_NORMS_WIDE_FORM(bfloat16_wide, Bfloat16, 8, 2)

KERAS_NORMS_KERNEL(keras_norms_pool_moments, 3, keras_norms::PoolTask) {
  PoolMoments(task);
}
KERAS_NORMS_KERNEL(keras_norms_pool_sums, 3, keras_norms::PoolSumsTask) {
  PoolSums(task);
}
KERAS_NORMS_KERNEL(keras_norms_affine, 3, keras_norms::AffineTask) {
  AffineGradient(task);
}
