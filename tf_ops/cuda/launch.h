// The kernels' table for GPUs: as ../cpu/kernels.h has it for CPUs, on memory
// of a device, in the order of its stream.

#ifndef KERAS_NORMS_CUDA_LAUNCH_H_
#define KERAS_NORMS_CUDA_LAUNCH_H_

#include <cstddef>
#include <string>

#include "../cpu/kernels.h"

namespace keras_norms {

struct Shape {
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
  virtual std::string Launch(const char* kernel, const Shape& shape,
                             const void* task) = 0;
};

// float64 is not among the types. All return what went wrong, or nothing.
struct DeviceKernels {
  std::string (*moments)(const View&, Type, const void* x, const Truth* mask,
                         void* count, void* mean, void* variance,
                         void* residual, Device&);
  std::string (*apply)(const View&, Type, const void* x, const Line&, void* y,
                       Device&);
  std::string (*gradient_sums)(const View&, Type, const void* x, const void* dy,
                               const Line&, void* sum, void* product, Device&);
  std::string (*gradient_combine)(const View&, Type, const void* x,
                                  const void* dy, const Line&, const void* b,
                                  const void* d, void* dx, Device&);
  std::string (*group_norm)(const View&, Type, const void* x, const Groups&,
                            void* y, const GroupMoments&, Device&);
  std::string (*group_norm_gradient)(const View&, Type, const void* x,
                                     const void* dy, const Groups&,
                                     const GroupMoments&, void* dx,
                                     void* d_gamma, void* d_beta, Device&);
};

const DeviceKernels& OnDevice();

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_LAUNCH_H_
