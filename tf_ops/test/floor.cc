// Measures the lower bound that memory bandwidth sets: times each kernel, and
// the same reads and writes with almost no arithmetic. Run it with
// `make -C tf_ops floor`.
//
// Times are relative to a copy of x by one thread: medians of interleaved
// rounds, with caches evicted before each. They bound `python -m
// benchmarks.layers` on the same machine.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "../cpu/thread_pool.h"
#include "../cpu/vectors.h"
#include "threads.h"

namespace kn = keras_norms;

namespace {

constexpr int64_t kExamples = 32, kPositions = 56 * 56, kChannels = 64;
constexpr int64_t kRow = kPositions * kChannels;
constexpr int64_t kSize = kExamples * kRow;
// The prefetch distance of the kernels, in elements.
constexpr int64_t kAhead = 1024;

using V = Vector<float>;

float* Tensor() {
  const auto x =
      static_cast<float*>(std::aligned_alloc(4096, kSize * sizeof(float)));
  for (int64_t i = 0; i < kSize; ++i) x[i] = i % 1000 / 500.f - 1;
  return x;
}

// Written so that the compiler does not remove the sums.
volatile float sink;

void Read(const float* x) {
  V sums[4] = {};
  for (int64_t i = 0; i < kRow; i += 4 * kVectorSize<float>) {
    for (int64_t k = 0; k < 4; ++k) {
      const float* from = x + i + k * kVectorSize<float>;
      __builtin_prefetch(from + kAhead);
      sums[k] += Load<V>(from);
    }
  }
  sink = (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

// Backwards, because the cache holds most of the end.
void Write(const float* x, const float* dy, float* y) {
  for (int64_t i = kRow - kVectorSize<float>; i >= 0; i -= kVectorSize<float>) {
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
  const kn::ThreadPool workers(2, [&](std::function<void()> task) {
    threads.Schedule(std::move(task));
  });
  float *x = Tensor(), *dy = Tensor(), *y = Tensor();
  std::vector<float> statistics(16 * kExamples * kChannels, 1.f);
  const auto statistic = [&](int64_t i) {
    return statistics.data() + i * kExamples * kChannels;
  };
  const kn::View examples = {kExamples, kPositions, kChannels, 1};
  const kn::View batch = {1, kExamples * kPositions, kChannels, 1};
  const auto common = [](const kn::View& view, int64_t groups) {
    return kn::CommonArguments{view, kn::Type::kFloat,
                               kn::Activation::kIdentity, groups, 1e-3};
  };
  const kn::CommonArguments group = common(examples, 32);
  const kn::CommonArguments affine = common(batch, 1);
  const kn::CommonArguments batch_norm = common(batch, batch.channels);
  kn::CommonArguments window = group;
  window.spatial = {1, 56, 56, 1, 3, 3};
  const kn::Kernels& kernels = kn::BestKernels();

  using Work = std::function<void(int64_t)>;
  const auto rows = [&](Work work) {
    return [&workers, work] {
      workers.Run(
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
         kernels.moments({affine, x, nullptr, statistic(4), statistic(5),
                          statistic(6), statistic(7)},
                         workers);
       }},
      {"read x and, from caches, write y", rows([&](int64_t i) {
         Read(x + i);
         Write(x + i, x + i, y + i);
       })},
      {"GroupNorm",
       [&] {
         kernels.group_norm({group, x, statistic(0), statistic(0), y,
                             statistic(1), statistic(2), statistic(3),
                             statistic(4)},
                            workers);
       }},
      {"read x, then x and write y",
       [&] {
         rows([&](int64_t i) { Read(x + i); })();
         rows([&](int64_t i) { Write(x + i, x + i, y + i); })();
       }},
      {"GroupNorm as batch norm",
       [&] {
         kernels.group_norm({batch_norm, x, statistic(0), statistic(0), y,
                             statistic(1), statistic(2), statistic(3),
                             statistic(4)},
                            workers);
       }},
      {"read x and dy", rows([&](int64_t i) {
         Read(x + i);
         Read(dy + i);
       })},
      {"GradientSums",
       [&] {
         kernels.gradient_sums(
             {affine, x, dy, nullptr, statistic(0), statistic(0), statistic(0),
              statistic(4), statistic(5)},
             workers);
       }},
      {"read x and dy and, from caches, write dx", rows([&](int64_t i) {
         Read(x + i);
         Read(dy + i);
         Write(x + i, dy + i, y + i);
       })},
      {"GroupNormGradient",
       [&] {
         kernels.group_norm_gradient(
             {group, x, dy, statistic(0), statistic(0), statistic(1),
              statistic(2), statistic(3), y, statistic(4), statistic(5)},
             workers);
       }},
      {"read x and dy, then both and write dx",
       [&] {
         rows([&](int64_t i) {
           Read(x + i);
           Read(dy + i);
         })();
         rows([&](int64_t i) { Write(x + i, dy + i, y + i); })();
       }},
      {"GroupNormGradient as batch norm",
       [&] {
         kernels.group_norm_gradient(
             {batch_norm, x, dy, statistic(0), statistic(0), statistic(1),
              statistic(2), statistic(3), y, statistic(4), statistic(5)},
             workers);
       }},
      {"read x, write y", rows([&](int64_t i) { Write(x + i, x + i, y + i); })},
      {"Apply",
       [&] {
         kernels.apply(
             {affine, x, nullptr, statistic(0), statistic(0), statistic(0), y},
             workers);
       }},
      {"read x and dy, write dx",
       rows([&](int64_t i) { Write(x + i, dy + i, y + i); })},
      {"GradientCombine",
       [&] {
         kernels.gradient_combine(
             {affine, x, dy, nullptr, statistic(0), statistic(0), statistic(0),
              statistic(0), statistic(0), y},
             workers);
       }},
      {"Depthwise, of 3 x 3 positions",
       [&] {
         kernels.depthwise({window, x, statistic(0), nullptr, y}, workers);
       }},
      {"DepthwiseGradient, of 3 x 3 positions",
       [&] {
         kernels.depthwise_gradient(
             {window, x, dy, statistic(0), y, statistic(4), statistic(5)},
             workers);
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
