// The kernels for GPUs on the emulation, on shapes that are no multiple of
// anything: `make -C tf_ops test`.

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "../cpu/pool.h"
#include "../cuda/launch.h"
#include "check.h"
#include "emulation.h"
#include "tried.h"

namespace {

emulation::Order order;
// Of a large GPU; of one whose memory makes clusters; of one that holds no x.
constexpr kn::Limits kLimits[] = {{232448, 8}, {40960, 4}, {0, 1}};
kn::Limits limits;

// What the cases are tried on, as if it were a CPU's.
template <class Arguments>
void OnEmulation(const Arguments& arguments, const kn::Workers&) {
  emulation::Emulated device(order, limits);
  const std::string wrong = kn::RunOnDevice(arguments, device);
  Check(wrong.empty(), wrong);
}

const kn::Kernels kEmulated = {
    "emulated GPU",
#define KERAS_NORMS_OPERATION(Name, ...) OnEmulation<kn::Name##Arguments>,
#include "../contract/operations.def"
};

// All threads one way round, and then others: the same bits, if no barrier is
// missing.
template <class T, class F>
void InAnyOrder(const Case& given, const F& run) {
  const kn::Pool alone(1, nullptr);
  order = emulation::Order::kForwards;
  Tried<T> one(kEmulated, given, alone, true);
  run(&one);
  static int turn = 0;
  order = ++turn % 2 ? emulation::Order::kBackwards : emulation::Order::kMixed;
  Tried<T> again(kEmulated, given, alone, false);
  run(&again);
  const size_t bytes = one.bits.size() * sizeof(one.bits[0]);
  Digest(one.bits.data(), bytes);
  Check(one.bits.size() == again.bits.size() &&
            (bytes == 0 ||
             std::memcmp(one.bits.data(), again.bits.data(), bytes) == 0),
        "the same bits whatever the order of threads");
}

template <class T>
void Try(const Case& given) {
  for (const kn::Limits& each : kLimits) {
    limits = each;
    const bool first = &each == kLimits;
    InAnyOrder<T>(given, [&](Tried<T>* tried) {
      first ? tried->Run() : tried->Groups();
    });
  }
}

}  // namespace

int main(int arguments, char**) {
  const bool few = arguments > 1;
  const std::vector<kn::View> views = {
      // Short rows, one channel, columns of 1, 4 and 8 numbers.
      {2, 5, 3, 1},
      {1, 1, 1, 1},
      {3, 7, 1, 1},
      {70, 1, 6, 1},
      {9, 3, 8, 1},
      {3, 5, 24, 1},
      {2, 130, 16, 1},
      {2, 33, 12, 1},
      {70, 4, 48, 1},
      // Wider than a block, evenly and not.
      {2, 33, 517, 1},
      {2, 9, 2400, 1},
      {1, 40, 1200, 1},
      // Channels first: whole units and not, one span and more.
      {2, 1, 6, 9},
      {1, 3, 5, 131},
      {1, 70, 9, 7},
      {2, 1, 12, 64},
      {3, 4, 5, 16},
      {2, 1, 3, 2056},
      {1, 2, 1, 40001},
      {1, 5, 300, 8},
      // Chunks.
      {4, 300, 4, 1},
      {1, 900, 20, 1},
      {1, 20000, 3, 1},
      {1, 5000, 8, 1},
      {2, 1, 2, 9000},
      // Nothing.
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
        // All functions on the small, one of two on the large.
        if (size > 500 && f != (masked ? 0 : 2)) continue;
        if (few && f > 2) continue;
        const Case given = {view, masked, f == 0 ? 1e4 : 0.5,
                            static_cast<kn::Activation>(f)};
        Try<float>(given);
        Case near = given;
        near.mean = 0.5;
        Try<Half>(near);
        Try<Bfloat16>(near);
        ++cases;
      }
    }
  }
  std::printf("%d cases on the emulation, %d failures, checksum %016llx\n",
              cases, failures, checksum);
  return failures > 0;
}
