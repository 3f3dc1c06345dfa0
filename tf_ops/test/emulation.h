// A GPU for the tests: the kernels of ../cuda, compiled for a CPU, block after
// block, the threads of a block one after the other from barrier to barrier,
// the blocks of a cluster from one barrier of theirs to the next.
//
// It finds wrong indices (with the address sanitizer), wrong sums, and, since
// threads can go in other orders, missing barriers. It says nothing of speed.

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
  std::string Launch(const char* kernel, const keras_norms::LaunchShape& shape,
                     const void* task) override;

 private:
  Order order_;
  keras_norms::Limits limits_;
  void* scratch_ = nullptr;
};

// Of a kernel that there is; null for others.
const char* NameOf(const char* kernel);

}  // namespace emulation

#endif  // KERAS_NORMS_TEST_EMULATION_H_
