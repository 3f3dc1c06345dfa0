// The kernels for GPUs by name, for whoever has neither TensorFlow nor XLA:
// a library of its own, `make -C tf_ops gpu`, for ctypes and the like.

#ifndef KERAS_NORMS_CUDA_PLAIN_H_
#define KERAS_NORMS_CUDA_PLAIN_H_

#include <cstdint>

extern "C" {

// All that any of the kernels takes: what one does not use may be null. What
// they mean is said in ../cpu/kernels.h. Pointers are to memory of the device.
struct KerasNormsCall {
  void* stream;  // CUstream
  void* scratch;
  int64_t scratch_bytes;
  int64_t rows, outer, channels, inner;
  int64_t type;      // 0 float, 2 half, 3 bfloat16
  int64_t function;  // the activation
  int64_t groups;
  double epsilon;
  const void *x, *dy;
  const unsigned char* mask;
  const void *center, *scale, *shift, *b, *d;
  const void *gamma, *beta;
  void* result;  // y, or dx
  void *count, *mean, *variance, *residual, *inverse;
  void *sum, *product, *d_gamma, *d_beta;
};

// Runs "moments", "apply", "gradient_sums", "gradient_combine", "group_norm"
// or "group_norm_gradient". Returns null, or what went wrong: words that are
// there until the thread calls again.
__attribute__((visibility("default"))) const char* keras_norms_run(
    const char* kernel, const KerasNormsCall* call);
}

#endif  // KERAS_NORMS_CUDA_PLAIN_H_
