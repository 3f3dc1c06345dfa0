// The kernels for GPUs: compiled by NVRTC, without CUDA headers, once for each
// architecture.
//
// ../contract/operations.def defines what they compute, and geometry.h how
// blocks cover x. Bytes moved, in copies of x (R read, W written):
//
//   moments, pool_moments           Moments             1R
//   apply                           Apply               1R 1W
//   sums, pool_sums                 GradientSums        2R
//   combine                         GradientCombine     2R 1W
//   moments, pool_moments, apply    GroupNorm           2R 1W
//   fused                           GroupNorm           1R 1W
//   fused_gradient, affine_gradient GroupNormGradient   2R 1W
//   sums, pool_sums, combine,       GroupNormGradient   4R 1W
//       affine_gradient (not of batch norm, where pool_sums has these sums)
//
// Partials add 16 bytes (moments) or 8 bytes (sums) for each channel of a
// chunk. A chunk has at least 64 vectors of each channel if the row is that
// long, so partials are small and stay in the L2 cache.
//
// A second pass takes chunks in reverse order, because the L2 cache still holds
// what the first pass read last. There are no atomic additions: every partial
// has one writer, and partials are combined in an order that follows from the
// shape.

#include "combine_partials.h"
#include "fused.h"
#include "fused_gradient.h"
#include "moments.h"
#include "passes.h"

// `blocks` is the least number of blocks that must fit on a multiprocessor.
// Three of them keep memory busy while some reduce. It is two where three would
// spill registers, in the fused kernels, which leave shared memory for two, and
// always on sm_70 (device.h).
#define KERAS_NORMS_MOMENTS(form, T, V, blocks)                      \
  KERAS_NORMS_KERNEL(keras_norms_moments_##form, blocks,             \
                     keras_norms::MomentsTask) {                     \
    Moments<T, V>(task);                                             \
  }

#define KERAS_NORMS_APPLY(form, name, T, V, F, blocks)               \
  KERAS_NORMS_KERNEL(keras_norms_apply_##form##_##name, blocks,      \
                     keras_norms::ApplyTask) {                       \
    Apply<T, V, F>(task);                                            \
  }

#define KERAS_NORMS_GRADIENTS(form, name, T, V, F, blocks)           \
  KERAS_NORMS_KERNEL(keras_norms_sums_##form##_##name, blocks,       \
                     keras_norms::SumsTask) {                        \
    GradientSums<T, V, F>(task);                                     \
  }                                                                  \
  KERAS_NORMS_KERNEL(keras_norms_combine_##form##_##name, blocks,    \
                     keras_norms::CombineTask) {                     \
    GradientCombine<T, V, F>(task);                                  \
  }

#define KERAS_NORMS_FUSED(form, name, T, V, F)                       \
  KERAS_NORMS_KERNEL(keras_norms_fused_##form##_##name, 2,           \
                     keras_norms::FusedTask) {                       \
    Fused<T, V, F>(task);                                            \
  }                                                                  \
  KERAS_NORMS_KERNEL(keras_norms_fused_gradient_##form##_##name, 2,  \
                     keras_norms::FusedGradientTask) {               \
    FusedGradient<T, V, F>(task);                                    \
  }

#define KERAS_NORMS_NARROW_FORM(form, T)                             \
  KERAS_NORMS_MOMENTS(form, T, 1, 3)                                 \
  KERAS_NORMS_APPLY(form, identity, T, 1, Identity, 2)               \
  KERAS_NORMS_APPLY(form, any, T, 1, Any, 3)                         \
  KERAS_NORMS_GRADIENTS(form, identity, T, 1, Identity, 3)           \
  KERAS_NORMS_GRADIENTS(form, any, T, 1, Any, 3)

#define KERAS_NORMS_WIDE_FORM(form, T, V, blocks)                    \
  KERAS_NORMS_MOMENTS(form, T, V, blocks)                            \
  KERAS_NORMS_APPLY(form, identity, T, V, Identity, 3)               \
  KERAS_NORMS_APPLY(form, any, T, V, Any, blocks)                    \
  KERAS_NORMS_GRADIENTS(form, identity, T, V, Identity, 3)           \
  KERAS_NORMS_GRADIENTS(form, any, T, V, Any, blocks)                \
  KERAS_NORMS_FUSED(form, identity, T, V, Identity)                  \
  KERAS_NORMS_FUSED(form, any, T, V, Any)

// The common activations have separate kernels at 16 bits, where the loops of
// all activations are limited by instructions instead of memory.
#define KERAS_NORMS_COMMON(form, name, T, V, F, blocks)              \
  KERAS_NORMS_APPLY(form, name, T, V, F, blocks)                     \
  KERAS_NORMS_GRADIENTS(form, name, T, V, F, blocks)                 \
  KERAS_NORMS_FUSED(form, name, T, V, F)

KERAS_NORMS_NARROW_FORM(float, Float)
KERAS_NORMS_NARROW_FORM(half, Half)
KERAS_NORMS_NARROW_FORM(bfloat16, Bfloat16)
KERAS_NORMS_WIDE_FORM(float_wide, Float, 4, 3)
KERAS_NORMS_WIDE_FORM(half_wide, Half, 8, 2)
KERAS_NORMS_WIDE_FORM(bfloat16_wide, Bfloat16, 8, 2)
KERAS_NORMS_COMMON(half_wide, relu, Half, 8, Only<formulas::Relu>, 2)
KERAS_NORMS_COMMON(half_wide, silu, Half, 8, Only<formulas::Silu>, 2)
KERAS_NORMS_COMMON(bfloat16_wide, relu, Bfloat16, 8, Only<formulas::Relu>, 2)
KERAS_NORMS_COMMON(bfloat16_wide, silu, Bfloat16, 8, Only<formulas::Silu>, 2)

KERAS_NORMS_KERNEL(keras_norms_pool_moments, 3, keras_norms::PoolMomentsTask) {
  PoolMoments(task);
}
KERAS_NORMS_KERNEL(keras_norms_pool_sums, 3, keras_norms::PoolSumsTask) {
  PoolSums(task);
}
KERAS_NORMS_KERNEL(keras_norms_affine_gradient, 3,
                   keras_norms::AffineGradientTask) {
  AffineGradient(task);
}
