// The scratch memory of an operation, before its tensors exist: XLA plans the
// memory of a function when it compiles it.

#ifndef KERAS_NORMS_CUDA_SCRATCH_H_
#define KERAS_NORMS_CUDA_SCRATCH_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "../contract/operations.h"
#include "geometry.h"
#include "launch.h"

namespace keras_norms {

// The shared memory and the clusters of the GPUs that there are kernels for.
// The last has neither, and takes the two passes.
constexpr Limits kLimitsOfGpus[] = {
    {64 << 10, 1},             // 7.5
    {96 << 10, 1},             // 7.0
    {99 << 10, 1},             // 8.6, 8.9
    {99 << 10, kMaxCluster},   // 12.0
    {163 << 10, 1},            // 8.0
    {227 << 10, kMaxCluster},  // 9.0, 10.0
    {0, 1},
};

// Launches nothing, and records how much scratch an operation requests.
class ScratchMeter : public Device {
 public:
  explicit ScratchMeter(const Limits& limits) : limits_(limits) {}

  void* Scratch(size_t bytes) override {
    bytes_ = bytes;
    return this;
  }
  Limits limits() override { return limits_; }
  bool Fits(const char*, const LaunchShape&) override { return true; }
  std::string Launch(const char*, const LaunchShape&, const void*) override {
    return "";
  }

  size_t bytes() const { return bytes_; }

 private:
  const Limits limits_;
  size_t bytes_ = 0;
};

// The bytes that the operation requests at most: on any GPU, and whether or not
// its tensors are aligned.
template <class Arguments>
size_t ScratchBytes(const CommonArguments& common) {
  const Operation& operation = OperationOf<Arguments>();
  alignas(16) static char memory[2];
  size_t most = 0;
  for (char& tensor : memory) {  // the first is aligned
    const std::vector<void*> tensors(
        operation.inputs.size() + operation.outputs.size(), &tensor);
    Arguments arguments;
    static_cast<CommonArguments&>(arguments) = common;
    Bind(tensors.data(), &arguments);
    for (const Limits& limits : kLimitsOfGpus) {
      ScratchMeter meter(limits);
      RunOnDevice(arguments, meter);
      most = std::max(most, meter.bytes());
    }
  }
  return most;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_SCRATCH_H_
