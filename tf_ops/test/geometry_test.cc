// Tests that the threads of a GPU visit every element of x exactly once.
// Tensors of more than 2^32 elements, which no test could hold, are sampled.

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "emulated_device.h"
// device.h needs a device that has been included before.
#include "../cuda/fused_plan.h"
#include "../cuda/thread_map.h"
#include "expect.h"

namespace kn = keras_norms;

namespace {

constexpr kn::Limits kLarge = {232448, 8};

ThreadMap MapOf(const kn::Geometry& g, int64_t block, int thread) {
  emulation::where.thread = thread;
  return ThreadMap(g, static_cast<unsigned>(block));
}

// Calls use(element, position) for the vectors of a thread, in order.
template <class F>
void ForEachVector(const kn::Geometry& g, const ThreadMap& map, const F& use) {
  ForEachStep<4>(
      g, map, [&](auto steps, long long element, long long position) {
        for (int i = 0; i < steps.value; ++i) {
          use(element + i * map.step_stride, position + i * g.column_threads);
        }
      });
}

std::string Name(const kn::View& view, int width) {
  return std::to_string(view.rows) + "x" + std::to_string(view.outer) + "x" +
         std::to_string(view.channels) + "x" + std::to_string(view.inner) +
         " by " + std::to_string(width);
}

void CheckEachOnce(const kn::View& view, const kn::Geometry& g, int width) {
  const int64_t size = view.rows * view.positions() * view.channels;
  std::vector<int> visits(size);
  bool channels = true, positions = true;
  for (int64_t b = 0; b < kn::BlockCount(g); ++b) {
    for (int t = 0; t < kn::ThreadCount(g); ++t) {
      const ThreadMap map = MapOf(g, b, t);
      ForEachVector(g, map, [&](int64_t element, int64_t position) {
        for (int j = 0; j < width; ++j) {
          const int64_t i = element + j;
          if (i < 0 || i >= size) {
            positions = false;
            continue;
          }
          ++visits[i];
          const int64_t channel = i / view.inner % view.channels;
          const int64_t pos =
              i / view.inner / view.channels * view.inner + i % view.inner;
          channels &= channel == map.channel + (g.channels_last ? j : 0);
          positions &= width > 1 || pos == position;
        }
      });
    }
  }
  const bool once = std::all_of(visits.begin(), visits.end(),
                                [](int count) { return count == 1; });
  Expect(once, "each number once: " + Name(view, width));
  Expect(channels, "channels: " + Name(view, width));
  Expect(positions, "positions: " + Name(view, width));
}

// Checks some threads, and that the last threads reach the last element.
void CheckSampled(const kn::View& view, int width) {
  const kn::Geometry g = kn::MakeGeometry(view, width);
  const int64_t blocks = kn::BlockCount(g),
                row = view.positions() * view.channels;
  Expect(blocks > 0 && blocks < int64_t{1} << 31,
         "blocks " + Name(view, width));
  std::mt19937_64 random(3);
  int64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    const int64_t block = i < 20 ? blocks - 1 - i % blocks : random() % blocks;
    const int first = i < 20 ? 0 : random() % kn::ThreadCount(g);
    const int end = i < 20 ? kn::ThreadCount(g) : first + 1;
    for (int t = first; t < end; ++t) {
      const ThreadMap map = MapOf(g, block, t);
      ForEachVector(g, map, [&](int64_t element, int64_t position) {
        last = std::max(last, element + width);
        const int64_t channel = element / view.inner % view.channels;
        const int64_t pos = element / view.inner / view.channels * view.inner +
                            element % view.inner;
        const bool fits = element >= 0 && element / row == map.row &&
                          channel == map.channel &&
                          (width > 1 || pos == position);
        Expect(fits, "a thread of " + Name(view, width));
      });
    }
  }
  Expect(last == view.rows * row, "the last number of " + Name(view, width));
}

void CheckDivisors() {
  const int most = 0x7fffffff;
  std::vector<int> divisors = {511, 640, 12345, 1 << 20, 1 << 30, most};
  for (int i = 1; i <= 300; ++i) divisors.push_back(i);
  for (const int divisor : divisors) {
    const kn::Divisor quick(divisor);
    const int last = most / divisor * divisor;
    for (const int number :
         {0, 1, divisor - 1, divisor, last - 1, last, most}) {
      Expect(number / quick == number / divisor &&
                 number % quick == number % divisor,
             std::to_string(number) + " / " + std::to_string(divisor));
    }
  }
}

// Checks the numbers of blocks in docs/kernels.md.
void CheckBlockCounts() {
  const auto is = [](const kn::View& view, int64_t blocks) {
    const int64_t count = kn::BlockCount(kn::MakeGeometry(view, 4));
    Expect(count == blocks,
           std::to_string(count) + " blocks: " + Name(view, 4));
  };
  is({1, 56 * 56, 64, 1}, 49);
  is({32, 56 * 56, 64, 1}, 800);
  is({256, 112 * 112, 64, 1}, 1792);
}

// Checks the largest images of the fused group norm in docs/kernels.md.
void CheckLargestFusedImages() {
  const auto is = [](const kn::Limits& limits, int side_of_16_bits,
                     int side_of_float) {
    for (const int width : {8, 4}) {
      const int64_t side = width == 8 ? side_of_16_bits : side_of_float;
      for (const int64_t channels : {64, 256, 1024}) {
        for (const int64_t larger : {0, 1}) {
          const kn::View view = {8, (side + larger) * (side + larger),
                                 channels, 1};
          const auto plan =
              kn::MakeFusedPlan(view, width, channels / 32, limits);
          Expect((plan.cluster == 0) == (larger == 1),
                 "the largest image of " + std::to_string(limits.shared) +
                     " bytes: " + Name(view, width));
        }
      }
    }
  };
  is({98304, 1}, 12, 14);
  is({65536, 1}, 5, 9);
  is({166912, 1}, 20, 21);
  is({101376, 1}, 12, 14);
  is({101376, 8}, 35, 42);
  is(kLarge, 73, 76);
}

// Checks which shapes use the fused group norm.
void CheckFusedPlans() {
  const auto cluster = [](const kn::View& view, int groups, int width,
                          const kn::Limits& limits) {
    return kn::MakeFusedPlan(view, width, view.channels / groups, limits)
        .cluster;
  };
  const auto is = [&](const kn::View& view, int width, int large, int other) {
    const int on_large = cluster(view, 32, width, kLarge);
    const int on_other = cluster(view, 32, width, {101376, 1});
    Expect(on_large == large && on_other == other,
           "clusters of " + std::to_string(on_large) + " and " +
               std::to_string(on_other) + ": " + Name(view, width));
  };
  is({8, 32 * 32, 128, 1}, 8, 8, 0);
  is({32, 64 * 64, 256, 1}, 8, 8, 0);
  is({2, 8 * 8, 1280, 1}, 8, 1, 1);
  is({128, 7 * 7, 2048, 1}, 8, 1, 0);
  is({128, 7 * 7, 64, 1}, 8, 1, 1);
  is({256, 7 * 7, 64, 1}, 8, 0, 0);
  is({1, 512 * 512, 256, 1}, 8, 0, 0);
  is({8, 112 * 112, 64, 1}, 4, 0, 0);
}

}  // namespace

int main() {
  for (const kn::View& view : std::vector<kn::View>{
           {2, 5, 3, 1},     {3, 7, 1, 1},     {70, 1, 6, 1},
           {9, 3, 8, 1},     {2, 33, 517, 1},  {2, 9, 2400, 1},
           {1, 40, 1200, 1}, {2, 1, 6, 9},     {1, 3, 5, 131},
           {1, 70, 9, 7},    {3, 4, 5, 16},    {2, 1, 3, 2056},
           {1, 300, 5, 8},   {1, 2, 1, 40001}, {1, 20000, 3, 1},
           {4, 300, 8, 1},   {300, 2, 40, 1},  {2, 64, 320, 1},
           {2, 1, 64, 64},   {1, 9000, 16, 1},
       }) {
    for (const int width : {1, 4, 8}) {
      const int64_t side = view.inner == 1 ? view.channels : view.inner;
      if (side % width != 0) continue;
      CheckEachOnce(view, kn::MakeGeometry(view, width), width);
      for (const int64_t size : {int64_t{1}, view.channels}) {
        for (const kn::Limits& limits : {kLarge, kn::Limits{40960, 8}}) {
          const auto plan = kn::MakeFusedPlan(view, width, size, limits);
          if (plan.cluster) CheckEachOnce(view, plan.geometry, width);
        }
      }
    }
  }
  for (const int width : {1, 4, 8}) {
    CheckSampled({1, 4900000000, 8, 1}, width);
    CheckSampled({3, 1, 5, 4900000000}, width);
    CheckSampled({1, 100000, 64, 784}, width);
    CheckSampled({5000000, 1, 1024, 1}, width);
    CheckSampled({2, 60000, 40000, 1}, width);
  }
  CheckDivisors();
  CheckBlockCounts();
  CheckLargestFusedImages();
  CheckFusedPlans();
  std::printf("geometry: %d failures\n", failures);
  return failures > 0;
}
