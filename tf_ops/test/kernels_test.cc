// Tests the kernels for CPUs on shapes that are multiples of nothing, with one
// thread and several: `make -C tf_ops test`, also with sanitizers.

#include "../cpu/kernels.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/thread_pool.h"
#include "check_kernels.h"
#include "expect.h"
#include "threads.h"
#include "unit_tests.h"

namespace kn = keras_norms;

// The cache size that the kernels see. With 0 they use non-temporal stores.
constexpr int64_t kLargeCache = int64_t{1} << 40;
int64_t cache_bytes = kLargeCache;
int64_t kn::CacheBytes() { return cache_bytes; }

namespace {

template <class T>
void CheckCase(const Case& test, const kn::Kernels& kernels) {
  const kn::ThreadPool one_thread(1, nullptr);
  KernelChecks<T> first_run(kernels, test, one_thread, true);
  first_run.CheckAll();
  for (const int count : {2, 3}) {
    Threads threads(count);
    cache_bytes = count == 3 ? 0 : kLargeCache;
    const kn::ThreadPool pool(count, [&](std::function<void()> task) {
      threads.Schedule(std::move(task));
    });
    KernelChecks<T> run(kernels, test, pool, false);
    run.CheckAll();
    const size_t bytes =
        first_run.results.size() * sizeof(first_run.results[0]);
    AddToChecksum(first_run.results.data(), bytes);
    Expect(first_run.results.size() == run.results.size() &&
               (bytes == 0 || std::memcmp(first_run.results.data(),
                                          run.results.data(), bytes) == 0),
           std::string("the same bits with several threads, ") + kernels.name);
  }
  cache_bytes = kLargeCache;
}

}  // namespace

// test [few [Baseline]]: fewer cases, of one instruction set, for sanitizers.
int main(int arguments, char** argument) {
  const bool few = arguments > 1;
  const std::string only = arguments > 2 ? argument[2] : "";
  const std::vector<kn::View> views = {
      {2, 5, 3, 1},
      {1, 1, 1, 1},
      {3, 7, 1, 1},
      {2, 1, 6, 1},
      {2, 1, 6, 9},
      {1, 3, 5, 131},
      {4, 300, 4, 1},
      {1, 70, 96, 7},
      {2, 33, 517, 1},
      {0, 4, 6, 1},
      {2, 0, 6, 1},
      {2, 3, 6, 0},
      {1, 900, 20, 1},
      {1, 2, 1, 40001},
      {1, 60, 600, 1},
      // Large enough for several threads: by rows, and by chunks of rows.
      {6, 150, 96, 1},
      {1, 12, 32, 256},
  };
  int cases = 0;
  for (const char* name : {"Baseline", "Avx2", "Avx512"}) {
    const kn::Kernels* kernels = kn::KernelsNamed(name);
    if (kernels == nullptr || (!only.empty() && only != name)) continue;
    for (const kn::View& view : views) {
      const int64_t size = view.rows * view.positions() * view.channels;
      if (few && size > 10000 && size < 80000) continue;
      for (const bool masked : {false, true}) {
        for (int f = 0; f < kActivations; ++f) {
          // All activations on small shapes, two of them on large ones.
          if (size > 2000 && f != (masked ? 0 : 2)) continue;
          if (few && f > (size > 10000 ? 0 : 2)) continue;
          const Case test = {view, masked, f == 0 ? 1e4 : 0.5,
                             static_cast<kn::Activation>(f)};
          CheckCase<float>(test, *kernels);
          // Means that leave digits for the deviations in every type.
          Case near_zero = test;
          near_zero.mean = 0.5;
          CheckCase<double>(near_zero, *kernels);
          CheckCase<Half>(near_zero, *kernels);
          CheckCase<Bfloat16>(near_zero, *kernels);
          ++cases;
        }
      }
    }
  }
  TestViews();
  TestGroups();
  TestSubnormalHalves();
  TestLateThreads();
  std::printf("%d cases, %d failures, checksum %016llx; best here: %s\n", cases,
              failures, checksum, kn::BestKernels().name);
  return failures > 0;
}
