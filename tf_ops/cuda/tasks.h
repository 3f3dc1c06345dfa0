// The parameters of the kernels: one structure for each, shared by the host and
// the device.

#ifndef KERAS_NORMS_CUDA_TASKS_H_
#define KERAS_NORMS_CUDA_TASKS_H_

#include "geometry.h"

namespace keras_norms {

// Partial moments of one channel. The mean is pivot + centered_mean: their sum
// in one float would lose digits if the mean is far larger than the deviations.
struct alignas(16) MomentsPartial {
  float pivot;
  float centered_mean;  // the mean of x - pivot
  float squares;        // the sum of (x - mean)^2
  float count;
};

// Partial sums of one channel, of g and of g (x - center).
struct alignas(8) SumsPartial {
  float sum_g;
  float sum_g_centered;
};

// Two sums of a channel or of a group, which the threads of a block add.
struct alignas(8) Sums {
  float first;
  float second;
};

// Where the parameters of z = (x - center) scale + shift come from. They are
// [rows, channels] if group_size is 0. Otherwise center, scale and shift point
// to the mean, rstd and residual of groups, [rows, groups], to which gamma and
// beta are applied.
struct AffinePointers {
  const float* center;
  const float* scale;
  const float* shift;
  const float* gamma;  // null for ones
  const float* beta;   // null for zeros
  Divisor group_size;  // channels of a group
  int activation;      // an Activation
};

struct MomentsTask {
  Geometry geometry;
  const void* x;
  const unsigned char* mask;
  MomentsPartial* partials;  // [rows, chunks, channels]
};

struct ApplyTask {
  Geometry geometry;
  AffinePointers affine;
  const void* x;
  const unsigned char* mask;
  void* y;
};

struct SumsTask {
  Geometry geometry;
  AffinePointers affine;
  const void* x;
  const void* dy;
  const unsigned char* mask;
  SumsPartial* partials;  // [rows, chunks, channels]
};

struct CombineTask {
  Geometry geometry;
  AffinePointers affine;
  const void* x;
  const void* dy;
  const unsigned char* mask;
  const float* slope;  // with the shape of center, or null
  const float* offset;
  void* dx;
};

// Group norm with one read of x: the chunks of a row and column tile, which
// holds whole groups, are the blocks of a cluster.
struct FusedTask {
  Geometry geometry;
  AffinePointers affine;  // without statistics, which the kernel computes
  const void* x;
  void* y;
  float epsilon;
  float* mean;  // [rows, groups]
  float* variance;
  float* residual;
  float* rstd;
};

// Its gradient with one read of x and dy.
struct FusedGradientTask {
  Geometry geometry;
  AffinePointers affine;
  const void* x;
  const void* dy;
  void* dx;
  SumsPartial* partials;  // [rows, chunks, channels]
  float reciprocal_elements;  // of the elements of a group
};

// How blocks combine partials: each computes `block_results` results with
// `result_threads` threads for each of them.
struct PoolGeometry {
  long long rows;
  Divisor chunks;
  int channels;
  Divisor group_size;
  Divisor groups;
  int result_threads;
  Divisor block_results;
};

// Combines moments over chunks and groups of channels.
struct PoolMomentsTask {
  PoolGeometry geometry;
  const MomentsPartial* partials;
  double epsilon;
  float* count;  // [rows], or null; the others are [rows, groups]
  float* mean;
  float* variance;
  float* residual;
  float* rstd;  // or null
};

// Combines sums over chunks and groups of channels; or computes from them slope
// and offset, the gradient through the moments of groups. If there is one row,
// and a group is a channel, it computes the gradients of gamma and beta too.
struct PoolSumsTask {
  PoolGeometry geometry;
  const SumsPartial* partials;
  const float* rstd;  // [rows, groups]; null to write the sums
  const float* residual;
  const float* gamma;
  double group_elements;
  float* sum_g_or_slope;  // [rows, groups]
  float* sum_g_centered_or_offset;
  float* d_gamma;  // [channels], or null
  float* d_beta;
};

// Combines sums over rows and chunks into the gradients of gamma and beta.
struct AffineGradientTask {
  PoolGeometry geometry;
  const SumsPartial* partials;
  const float* rstd;  // [rows, groups]
  const float* residual;
  float* d_gamma;  // [channels]
  float* d_beta;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_TASKS_H_
