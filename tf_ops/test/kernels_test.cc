// Tests the kernels for CPUs on shapes that are multiples of nothing, with one
// thread and several: `make -C tf_ops test`, also with sanitizers.

#include "../cpu/kernels.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/thread_pool.h"
#include "check_depthwise.h"
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

// Expects that results have the same bits with any number of threads.
// run(workers, compare) returns all results, and compares them if asked to.
template <class F>
void CheckWithThreads(const char* isa, const F& run) {
  const kn::OneThread one_thread;
  const auto first = run(one_thread, true);
  const size_t bytes = first.size() * sizeof(first[0]);
  for (const int count : {2, 3}) {
    Threads threads(count);
    cache_bytes = count == 3 ? 0 : kLargeCache;
    const kn::ThreadPool pool(count, [&](std::function<void()> task) {
      threads.Schedule(std::move(task));
    });
    const auto other = run(pool, false);
    AddToChecksum(first.data(), bytes);
    Expect(first.size() == other.size() &&
               (bytes == 0 ||
                std::memcmp(first.data(), other.data(), bytes) == 0),
           std::string("the same bits with several threads, ") + isa);
  }
  cache_bytes = kLargeCache;
}

template <class T>
void CheckCase(const Case& test, const kn::Kernels& kernels) {
  CheckWithThreads(kernels.name,
                   [&](const kn::Workers& workers, bool compare) {
    KernelChecks<T> checks(kernels, test, workers, compare);
    checks.CheckAll();
    return checks.results;
  });
}

template <class T>
void CheckDepthwiseCase(const DepthwiseCase& test,
                        const kn::Kernels& kernels) {
  DepthwiseChecks<T> checks(test);
  CheckWithThreads(kernels.name,
                   [&](const kn::Workers& workers, bool compare) {
    return checks.Run(kernels, workers, compare);
  });
}

void CheckDepthwise(const DepthwiseCase& test, const kn::Kernels& kernels) {
  CheckDepthwiseCase<float>(test, kernels);
  CheckDepthwiseCase<double>(test, kernels);
  CheckDepthwiseCase<Half>(test, kernels);
  CheckDepthwiseCase<Bfloat16>(test, kernels);
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
      {700, 1, 20, 1},
      {5, 1, 131, 1},
      {70, 1, 192, 1},
      {3, 1, 2064, 1},
  };
  const std::vector<DepthwiseCase> depthwise_cases = {
      {{3, 5, 4, 7}, 3, true},
      {{2, 6, 5, 6, 3}, 3, false},
      {{2, 9, 70}, 5, true},
      {{4, 6}, 3, true},
      {{2, 2, 3, 5}, 7, true},  // a window that is larger than x
      {{1, 1, 1, 1}, 3, true},
      {{0, 4, 3, 5}, 3, true},
      {{2, 0, 3, 5}, 3, true},
      {{2, 4, 3, 0}, 3, true},
      {{2, 3, 3, 65}, 1, true},
      // Several sections of an example, and several examples of a slot.
      {{2, 40, 20, 48}, 3, true},
      {{130, 6, 3, 33}, 3, true},
  };
  int cases = 0;
  for (const char* name : {"Baseline", "Avx2", "Avx512"}) {
    const kn::Kernels* kernels = kn::KernelsNamed(name);
    if (kernels == nullptr || (!only.empty() && only != name)) continue;
    for (const DepthwiseCase& test : depthwise_cases) {
      if (few && kn::ElementsOf(test.sizes) > 50000) continue;
      CheckDepthwise(test, *kernels);
      ++cases;
    }
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
