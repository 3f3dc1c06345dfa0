// A GPU for the tests: it runs the kernels of ../cuda, compiled for a CPU, one
// block after another. The threads of a block run one after another from
// barrier to barrier, and the blocks of a cluster from cluster barrier to
// cluster barrier.
//
// It finds wrong indices (with the address sanitizer) and wrong sums. Threads
// can run in several orders, so it also finds missing barriers. It says nothing
// about speed.

#ifndef KERAS_NORMS_TEST_EMULATION_H_
#define KERAS_NORMS_TEST_EMULATION_H_

#include "../cuda/launch.h"

namespace emulation {

enum class Order { kForwards, kBackwards, kMixed };

class Emulated : public keras_norms::Device {
 public:
  explicit Emulated(Order order, keras_norms::Limits limits = {232448, 8})
      : order_(order), limits_(limits) {}
  ~Emulated() override;
  void* Scratch(size_t bytes) override;
  keras_norms::Limits limits() override { return limits_; }
  bool Fits(const char*, const keras_norms::LaunchShape&) override {
    return true;
  }
  std::string Launch(const char* kernel, const keras_norms::LaunchShape& shape,
                     const void* task) override;

 private:
  Order order_;
  keras_norms::Limits limits_;
  void* scratch_ = nullptr;
};

// The name of a kernel, or null if there is no such kernel.
const char* NameOf(const char* kernel);

}  // namespace emulation

#endif  // KERAS_NORMS_TEST_EMULATION_H_
