// Tests the kernels for GPUs on the emulation, on shapes that are multiples of
// nothing: `make -C tf_ops test`.

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "../cpu/thread_pool.h"
#include "../cuda/scratch.h"
#include "check_kernels.h"
#include "emulation.h"
#include "expect.h"

namespace {

emulation::Order order;
// A large GPU; one with so little shared memory that rows take clusters; and
// one that cannot cache x.
constexpr kn::Limits kLimits[] = {{232448, 8}, {40960, 4}, {0, 1}};
kn::Limits limits;

// Has as much scratch memory as XLA's handlers, which get it from the lowering.
class WithinScratch : public emulation::Emulated {
 public:
  explicit WithinScratch(size_t most)
      : Emulated(order, ::limits), most_(most) {}

  void* Scratch(size_t bytes) override {
    return bytes > most_ ? nullptr : Emulated::Scratch(bytes);
  }

 private:
  const size_t most_;
};

// Runs an operation on the emulation, with the signature of a CPU's kernel.
template <class Arguments>
void OnEmulation(const Arguments& arguments, const kn::Workers&) {
  WithinScratch device(kn::ScratchBytes<Arguments>(arguments));
  const std::string error = kn::RunOnDevice(arguments, device);
  Expect(error.empty(), error);
}

const kn::Kernels kEmulated = {
    "emulated GPU",
#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, ...) OnEmulation<kn::Name##Arguments>,
#include "../contract/operations.def"
    nullptr,  // depthwise, which GPUs do not have
    nullptr,  // depthwise_gradient
};

// Runs the threads in two orders. The results have the same bits unless a
// barrier is missing.
template <class T, class F>
void CheckInOrders(const Case& test, const F& run) {
  const kn::OneThread one_thread;
  order = emulation::Order::kForwards;
  KernelChecks<T> first_run(kEmulated, test, one_thread, true);
  run(&first_run);
  static int turn = 0;
  order = ++turn % 2 ? emulation::Order::kBackwards : emulation::Order::kMixed;
  KernelChecks<T> second_run(kEmulated, test, one_thread, false);
  run(&second_run);
  const size_t bytes = first_run.results.size() * sizeof(first_run.results[0]);
  AddToChecksum(first_run.results.data(), bytes);
  Expect(first_run.results.size() == second_run.results.size() &&
             (bytes == 0 || std::memcmp(first_run.results.data(),
                                        second_run.results.data(), bytes) == 0),
         "the same bits whatever the order of threads");
}

template <class T>
void CheckCase(const Case& test) {
  for (const kn::Limits& each : kLimits) {
    limits = each;
    const bool first = &each == kLimits;
    CheckInOrders<T>(test, [&](KernelChecks<T>* checks) {
      first ? checks->CheckAll() : checks->CheckGroupNorm();
    });
  }
}

}  // namespace

int main(int arguments, char**) {
  const bool few = arguments > 1;
  const std::vector<kn::View> views = {
      // Short rows, one channel, columns of 1, 4 and 8 channels.
      {2, 5, 3, 1},
      {1, 1, 1, 1},
      {3, 7, 1, 1},
      {70, 1, 6, 1},
      {9, 3, 8, 1},
      {3, 5, 24, 1},
      {2, 130, 16, 1},
      {2, 33, 12, 1},
      {70, 4, 48, 1},
      // Rows wider than a block, evenly divided and not.
      {2, 33, 517, 1},
      {2, 9, 2400, 1},
      {1, 40, 1200, 1},
      // Channels first: whole vectors and not, one span and several.
      {2, 1, 6, 9},
      {1, 3, 5, 131},
      {1, 70, 9, 7},
      {2, 1, 12, 64},
      {3, 4, 5, 16},
      {2, 1, 3, 2056},
      {1, 2, 1, 40001},
      {1, 5, 300, 8},
      // Several chunks.
      {4, 300, 4, 1},
      {1, 900, 20, 1},
      {1, 20000, 3, 1},
      {1, 5000, 8, 1},
      {2, 1, 2, 9000},
      // Empty.
      {0, 4, 6, 1},
      {2, 0, 6, 1},
      {2, 3, 6, 0},
      {2, 3, 0, 1},
  };
  int cases = 0;
  for (const kn::View& view : views) {
    const int64_t size = view.rows * view.positions() * view.channels;
    if (few && size > 10000) continue;
    for (const bool masked : {false, true}) {
      for (int f = 0; f < kActivations; ++f) {
        // All activations on small shapes, two of them on large ones.
        if (size > 500 && f != (masked ? 0 : 2)) continue;
        if (few && f > 2) continue;
        const Case test = {view, masked, f == 0 ? 1e4 : 0.5,
                           static_cast<kn::Activation>(f)};
        CheckCase<float>(test);
        Case near_zero = test;
        near_zero.mean = 0.5;
        CheckCase<Half>(near_zero);
        CheckCase<Bfloat16>(near_zero);
        ++cases;
      }
    }
  }
  std::printf("%d cases on the emulation, %d failures, checksum %016llx\n",
              cases, failures, checksum);
  return failures > 0;
}
