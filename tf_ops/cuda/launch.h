// The operations on GPUs: as ../cpu/kernels.h has them for CPUs, on memory of a
// device, in the order of its stream.

#ifndef KERAS_NORMS_CUDA_LAUNCH_H_
#define KERAS_NORMS_CUDA_LAUNCH_H_

#include <cstddef>
#include <string>

#include "../contract/arguments.h"

namespace keras_norms {

struct LaunchShape {
  unsigned blocks;
  int threads;
  int cluster = 1;  // blocks of it
  int shared = 0;   // bytes a block asks for, beside those it always has
};

struct Limits {
  int shared;   // bytes, of a block
  int cluster;  // blocks
};

// Where kernels run: a stream of a GPU, or the emulation of the tests.
class Device {
 public:
  virtual ~Device() = default;
  // Memory that is there until the kernels launched after it are done; null
  // where there is none left. Asked for once for each function below.
  virtual void* Scratch(size_t bytes) = 0;
  virtual Limits limits() = 0;
  // What went wrong, or nothing.
  virtual std::string Launch(const char* kernel, const LaunchShape& shape,
                             const void* task) = 0;
};

// Runs an operation of ../contract/operations.def. float64 is not among the
// types. Returns what went wrong, or nothing.
#define KERAS_NORMS_OPERATION(Name, ...) \
  std::string RunOnDevice(const Name##Arguments&, Device&);
#include "../contract/operations.def"

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_LAUNCH_H_
