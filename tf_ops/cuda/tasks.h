// What kernels are given: one structure each, for hosts and for devices.

#ifndef KERAS_NORMS_CUDA_TASKS_H_
#define KERAS_NORMS_CUDA_TASKS_H_

#include "geometry.h"

namespace keras_norms {

// Of some places of a channel: the mean is pivot + offset, which keeps the
// digits that means far above the deviations would lose.
struct alignas(16) MomentsPart {
  float pivot;
  float offset;
  float squares;  // of x - mean, summed
  float count;
};

struct alignas(8) SumsPart {
  float sum;
  float product;
};

// z = (x - center) scale + shift for every channel of every row, from tables;
// or, where `group_size` is not 0, from what groups have and gamma and beta:
// center and shift are the groups' means and residuals, scale their inverses.
struct LineTask {
  const float* center;
  const float* scale;
  const float* shift;
  const float* gamma;  // null: ones
  const float* beta;   // null: zeros
  int group_size;
  int function;  // an Activation
};

struct MomentsTask {
  Geometry geometry;
  const void* x;
  const unsigned char* mask;
  MomentsPart* parts;  // [rows, chunks, channels]
};

struct ApplyTask {
  Geometry geometry;
  LineTask line;
  const void* x;
  const unsigned char* mask;
  void* y;
};

struct SumsTask {
  Geometry geometry;
  LineTask line;
  const void* x;
  const void* dy;
  const unsigned char* mask;
  SumsPart* parts;  // [rows, chunks, channels]
};

struct CombineTask {
  Geometry geometry;
  LineTask line;
  const void* x;
  const void* dy;
  const unsigned char* mask;
  const float* b;  // with the shape of center, or null
  const float* d;
  void* dx;
};

// Group norm with one read of x: the chunks of a row and part, which has whole
// groups, are the blocks of a cluster.
struct FusedTask {
  Geometry geometry;
  LineTask line;  // of groups, but for their moments
  const void* x;
  void* y;
  double epsilon;
  float* mean;  // [rows, groups]
  float* residual;
  float* inverse;
};

// How a block goes through parts: `lanes` threads for each of `each` results.
struct PoolGeometry {
  long long rows;
  int chunks;
  int channels;
  int group_size;
  int lanes;
  int each;
};

struct PoolTask {
  PoolGeometry geometry;
  const MomentsPart* parts;
  double epsilon;  // negative: spread is the variance
  float* count;    // [rows], or null; else [rows, groups]
  float* mean;
  float* residual;
  float* spread;
};

struct PoolSumsTask {
  PoolGeometry geometry;
  const SumsPart* parts;
  // Of groups, as LineTask has them, for b and d; null for the sums alone.
  const float* inverse;
  const float* residual;
  const float* gamma;
  double places;  // numbers of a group
  float* one;     // sum, or b: [rows, groups]
  float* two;     // product, or d
};

struct AffineTask {
  PoolGeometry geometry;
  const SumsPart* parts;
  const float* inverse;
  const float* residual;
  float* d_gamma;
  float* d_beta;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_TASKS_H_
