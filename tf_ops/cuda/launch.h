// The operations on GPUs. Their tensors are in the memory of a device, and
// their kernels run in the order of its stream.

#ifndef KERAS_NORMS_CUDA_LAUNCH_H_
#define KERAS_NORMS_CUDA_LAUNCH_H_

#include <cstddef>
#include <string>

#include "../contract/arguments.h"

namespace keras_norms {

struct LaunchShape {
  unsigned blocks;
  int threads;
  int cluster = 1;  // blocks
  int shared = 0;   // bytes of dynamic shared memory a block
};

struct Limits {
  int shared;   // bytes a block
  int cluster;  // blocks; see Device::Fits
};

// The stream of a GPU, or the emulation of the tests.
class Device {
 public:
  virtual ~Device() = default;
  // Returns memory that lasts until the kernels that are launched after it are
  // done, or null if there is none left. An operation calls it at most once.
  virtual void* Scratch(size_t bytes) = 0;
  virtual Limits limits() = 0;
  // Whether the clusters of a launch can run.
  virtual bool Fits(const char* kernel, const LaunchShape& shape) = 0;
  // Returns the error, or an empty string.
  virtual std::string Launch(const char* kernel, const LaunchShape& shape,
                             const void* task) = 0;
};

// Runs an operation of ../contract/operations.def. Returns the error, or an
// empty string. float64 is not supported.
#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, ...) \
  std::string RunOnDevice(const Name##Arguments&, Device&);
#include "../contract/operations.def"

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_LAUNCH_H_
