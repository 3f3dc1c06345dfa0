// A C interface to the operations on GPUs, for callers that use neither
// TensorFlow nor XLA. `make -C tf_ops gpu` builds a library of it.

#ifndef KERAS_NORMS_CUDA_C_API_H_
#define KERAS_NORMS_CUDA_C_API_H_

#include <cstdint>

extern "C" {

// The arguments of an operation, see ../contract/arguments.h and
// ../contract/operations.def. Tensors and scratch are in device memory.
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

// Runs an operation by the name of its kernel, such as "moments". Returns null,
// or the error, which is valid until this thread calls again.
__attribute__((visibility("default"))) const char* keras_norms_run(
    const char* kernel, const KerasNormsCall* call);

// Returns the bytes of scratch memory that the operation needs at most, or -1
// if there is no such operation. Tensors, and the scratch memory, may be null.
__attribute__((visibility("default"))) int64_t keras_norms_scratch_bytes(
    const char* kernel, const KerasNormsCall* call);
}

#endif  // KERAS_NORMS_CUDA_C_API_H_
