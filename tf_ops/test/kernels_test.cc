// The kernels on shapes that are no multiple of anything, with one thread and
// more: `make -C tf_ops test`, or with a sanitizer.

#include "../cpu/kernels.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/pool.h"
#include "check.h"
#include "pieces.h"
#include "threads.h"
#include "tried.h"

namespace kn = keras_norms;

// What the kernels take the last cache to hold: little, and they store past it.
constexpr int64_t kPlenty = int64_t{1} << 40;
int64_t cache_bytes = kPlenty;
int64_t kn::CacheBytes() { return cache_bytes; }

namespace {

template <class T>
void Try(const Case& given, const kn::Kernels& kernels) {
  const kn::Pool alone(1, nullptr);
  Tried<T> one(kernels, given, alone, true);
  one.Run();
  for (const int count : {2, 3}) {
    Threads threads(count);
    cache_bytes = count == 3 ? 0 : kPlenty;
    const kn::Pool pool(count, [&](std::function<void()> task) {
      threads.Schedule(std::move(task));
    });
    Tried<T> many(kernels, given, pool, false);
    many.Run();
    const size_t bytes = one.bits.size() * sizeof(one.bits[0]);
    Digest(one.bits.data(), bytes);
    Check(one.bits.size() == many.bits.size() &&
              (bytes == 0 ||
               std::memcmp(one.bits.data(), many.bits.data(), bytes) == 0),
          std::string("the same bits with more threads, ") + kernels.name);
  }
  cache_bytes = kPlenty;
}

}  // namespace

// test [few [Baseline]]: a part of the cases, of one instruction set, for
// sanitizers.
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
      // More than one thread does; whole rows, and rows in chunks.
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
          // All functions on the small, one of two on the large.
          if (size > 2000 && f != (masked ? 0 : 2)) continue;
          if (few && f > (size > 10000 ? 0 : 2)) continue;
          const Case given = {view, masked, f == 0 ? 1e4 : 0.5,
                              static_cast<kn::Activation>(f)};
          Try<float>(given, *kernels);
          // Means that their own digits leave room beside.
          Case near = given;
          near.mean = 0.5;
          Try<double>(near, *kernels);
          Try<Half>(near, *kernels);
          Try<Bfloat16>(near, *kernels);
          ++cases;
        }
      }
    }
  }
  Indices();
  Subnormals();
  LateThreads();
  std::printf("%d cases, %d failures, checksum %016llx; best here: %s\n", cases,
              failures, checksum, kn::BestKernels().name);
  return failures > 0;
}
