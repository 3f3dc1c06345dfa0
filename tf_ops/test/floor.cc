// What memory allows: the reads and writes of the kernels with next to nothing
// computed, beside the kernels themselves. `make -C tf_ops floor`.
//
// In copies of x by one thread, medians of interleaved rounds, caches emptied
// before each: a bound for `python -m benchmarks.layers` on the same machine.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "../cpu/pool.h"
#include "../cpu/vectors.h"
#include "threads.h"

namespace kn = keras_norms;

namespace {

constexpr int64_t kExamples = 32, kPositions = 56 * 56, kChannels = 64;
constexpr int64_t kRow = kPositions * kChannels;
constexpr int64_t kSize = kExamples * kRow;
// As many numbers ahead of their use as the kernels ask for memory.
constexpr int64_t kAhead = 1024;

using V = Vector<float>;

float* Tensor() {
  const auto x =
      static_cast<float*>(std::aligned_alloc(4096, kSize * sizeof(float)));
  for (int64_t i = 0; i < kSize; ++i) x[i] = i % 1000 / 500.f - 1;
  return x;
}

// Where sums go, so that they are computed.
volatile float seen;

void Read(const float* x) {
  V sums[4] = {};
  for (int64_t i = 0; i < kRow; i += 4 * kLanes<float>) {
    for (int64_t k = 0; k < 4; ++k) {
      const float* from = x + i + k * kLanes<float>;
      __builtin_prefetch(from + kAhead);
      sums[k] += Load<V>(from);
    }
  }
  seen = (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

// From the end, of which most is in the cache.
void Write(const float* x, const float* dy, float* y) {
  for (int64_t i = kRow - kLanes<float>; i >= 0; i -= kLanes<float>) {
    Stream(Load<V>(x + i) + Load<V>(dy + i), y + i);
  }
  EndStreams();
}

double Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace

int main() {
  Threads threads(1);
  const kn::Pool two(2, [&](std::function<void()> task) {
    threads.Schedule(std::move(task));
  });
  float *x = Tensor(), *dy = Tensor(), *y = Tensor();
  std::vector<float> tables(16 * kExamples * kChannels, 1.f);
  const auto table = [&](int64_t i) {
    return tables.data() + i * kExamples * kChannels;
  };
  const kn::View examples = {kExamples, kPositions, kChannels, 1};
  const kn::View batch = {1, kExamples * kPositions, kChannels, 1};
  const auto common = [](const kn::View& view, int64_t groups) {
    return kn::CommonArguments{view, kn::Type::kFloat,
                               kn::Activation::kIdentity, groups, 1e-3};
  };
  const kn::CommonArguments group = common(examples, 32);
  const kn::CommonArguments line = common(batch, 1);
  const kn::Kernels& kernels = kn::BestKernels();

  using Work = std::function<void(int64_t)>;
  const auto rows = [&](Work work) {
    return [&two, work] {
      two.Run(
          kExamples,
          [](void* context, int64_t i) {
            (*static_cast<const Work*>(context))(i* kRow);
          },
          const_cast<Work*>(&work));
    };
  };
  const std::vector<std::pair<std::string, std::function<void()>>> all = {
      {"copy, one thread", [&] { std::memcpy(y, x, kSize * sizeof(float)); }},
      {"read x", rows([&](int64_t i) { Read(x + i); })},
      {"Moments",
       [&] {
         kernels.moments(
             {line, x, nullptr, table(4), table(5), table(6), table(7)}, two);
       }},
      {"read x and, from caches, write y", rows([&](int64_t i) {
         Read(x + i);
         Write(x + i, x + i, y + i);
       })},
      {"GroupNorm",
       [&] {
         kernels.group_norm(
             {group, x, table(0), table(0), y, table(1), table(2), table(3)},
             two);
       }},
      {"read x and dy", rows([&](int64_t i) {
         Read(x + i);
         Read(dy + i);
       })},
      {"GradientSums",
       [&] {
         kernels.gradient_sums({line, x, dy, nullptr, table(0), table(0),
                                table(0), table(4), table(5)},
                               two);
       }},
      {"read x and dy and, from caches, write dx", rows([&](int64_t i) {
         Read(x + i);
         Read(dy + i);
         Write(x + i, dy + i, y + i);
       })},
      {"GroupNormGradient",
       [&] {
         kernels.group_norm_gradient(
             {group, x, dy, table(0), table(0), table(1), table(2), table(3), y,
              table(4), table(5)},
             two);
       }},
      {"read x, write y", rows([&](int64_t i) { Write(x + i, x + i, y + i); })},
      {"Apply",
       [&] {
         kernels.apply({line, x, nullptr, table(0), table(0), table(0), y},
                       two);
       }},
      {"read x and dy, write dx",
       rows([&](int64_t i) { Write(x + i, dy + i, y + i); })},
      {"GradientCombine",
       [&] {
         kernels.gradient_combine({line, x, dy, nullptr, table(0), table(0),
                                   table(0), table(0), table(0), y},
                                  two);
       }},
  };
  std::vector<std::vector<double>> times(all.size());
  std::vector<float> other(3 * kn::CacheBytes() / sizeof(float));
  for (int round = 0; round < 25; ++round) {
    for (size_t k = 0; k < all.size(); ++k) {
      for (float& value : other) value += 1;
      const double start = Now();
      all[k].second();
      times[k].push_back(Now() - start);
    }
  }
  for (auto& each : times) std::sort(each.begin(), each.end());
  std::printf("two threads, %s, (32, 56, 56, 64) float32, in copies of x\n",
              kernels.name);
  for (size_t k = 0; k < all.size(); ++k) {
    const double copies = times[k][12] / times[0][12];
    std::printf("%-42s %.2f\n", all[k].first.c_str(), copies);
  }
}
