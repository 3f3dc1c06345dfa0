// The kernels for GPUs by name, for callers that use neither TensorFlow nor
// XLA: a library of its own, `make -C tf_ops gpu`, for ctypes and the like.

#ifndef KERAS_NORMS_CUDA_C_API_H_
#define KERAS_NORMS_CUDA_C_API_H_

#include <cstdint>

extern "C" {

// The arguments of a kernel. What they mean is said in ../contract/arguments.h
// and ../contract/operations.def. Pointers are to memory of the device.
struct KerasNormsCall {
  void* stream;  // CUstream
  void* scratch;
  int64_t scratch_bytes;
  int64_t rows, outer, channels, inner;
  int64_t type;        // 0 float, 2 half, 3 bfloat16
  int64_t activation;  // an index into ../contract/activations.def
  int64_t groups;
  double epsilon;
  void* const* tensors;  // inputs, then outputs; null for an empty one
  int64_t tensor_count;
};

// Runs the kernel of an operation, such as "moments". Returns null, or what
// went wrong: words that are there until the thread calls again.
__attribute__((visibility("default"))) const char* keras_norms_run(
    const char* kernel, const KerasNormsCall* call);
}

#endif  // KERAS_NORMS_CUDA_C_API_H_
