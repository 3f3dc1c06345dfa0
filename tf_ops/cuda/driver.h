// Launches kernels in the stream of a GPU through CUDA's driver, which is
// loaded on first use: one library serves machines with a GPU and without.

#ifndef KERAS_NORMS_CUDA_DRIVER_H_
#define KERAS_NORMS_CUDA_DRIVER_H_

#include <functional>
#include <string>
#include <utility>

#include "launch.h"

namespace keras_norms {

class Stream : public Device {
 public:
  // `stream` is a CUstream. The memory that `allocate` returns must last until
  // the kernels that follow it in the stream are done.
  Stream(void* stream, std::function<void*(size_t)> allocate)
      : stream_(stream), allocate_(std::move(allocate)) {}

  void* Scratch(size_t bytes) override { return allocate_(bytes); }
  Limits limits() override;
  bool Fits(const char* kernel, const LaunchShape& shape) override;
  std::string Launch(const char* kernel, const LaunchShape& shape,
                     const void* task) override;

 private:
  void* stream_;
  std::function<void*(size_t)> allocate_;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_DRIVER_H_
