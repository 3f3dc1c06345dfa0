// Which numbers threads go to, for GPUs: each of x once, also in tensors of
// more than 2^32 of them, which no test could hold.

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "emulated_device.h"
// Needs a device that has been included before.
#include "../cuda/course.h"
#include "../cuda/plan.h"
#include "check.h"

namespace kn = keras_norms;

namespace {

constexpr kn::Limits kLarge = {232448, 8};

Course At(const kn::Geometry& g, int64_t block, int thread) {
  emulation::where.thread = thread;
  return Course(g, static_cast<unsigned>(block));
}

// use(first number) for what a thread goes to, in order.
template <class F>
void EachPlace(const kn::Geometry& g, const Course& course, const F& use) {
  EachSteps<4>(g, course, [&](auto count, long long at, long long position) {
    for (int i = 0; i < count.value; ++i) {
      use(at + i * course.step_apart, position + i * g.lanes);
    }
  });
}

std::string Name(const kn::View& view, int width) {
  return std::to_string(view.rows) + "x" + std::to_string(view.outer) + "x" +
         std::to_string(view.channels) + "x" + std::to_string(view.inner) +
         " by " + std::to_string(width);
}

void EachOnce(const kn::View& view, const kn::Geometry& g, int width) {
  const int64_t size = view.rows * view.positions() * view.channels;
  std::vector<int> visits(size);
  bool channels = true, positions = true;
  for (int64_t b = 0; b < kn::BlocksOf(g); ++b) {
    for (int t = 0; t < kn::ThreadsOf(g); ++t) {
      const Course course = At(g, b, t);
      EachPlace(g, course, [&](int64_t at, int64_t position) {
        for (int j = 0; j < width; ++j) {
          const int64_t i = at + j;
          if (i < 0 || i >= size) {
            positions = false;
            continue;
          }
          ++visits[i];
          const int64_t channel = i / view.inner % view.channels;
          const int64_t place =
              i / view.inner / view.channels * view.inner + i % view.inner;
          channels &= channel == course.channel + (g.last ? j : 0);
          positions &= width > 1 || place == position;
        }
      });
    }
  }
  const bool once = std::all_of(visits.begin(), visits.end(),
                                [](int count) { return count == 1; });
  Check(once, "each number once: " + Name(view, width));
  Check(channels, "channels: " + Name(view, width));
  Check(positions, "positions: " + Name(view, width));
}

// The same of some threads, and the last number by the last of them.
void Sampled(const kn::View& view, int width) {
  const kn::Geometry g = kn::GeometryOf(view, width);
  const int64_t blocks = kn::BlocksOf(g),
                row = view.positions() * view.channels;
  Check(blocks > 0 && blocks < int64_t{1} << 31, "blocks " + Name(view, width));
  std::mt19937_64 random(3);
  int64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    const int64_t block = i < 20 ? blocks - 1 - i % blocks : random() % blocks;
    const int first = i < 20 ? 0 : random() % kn::ThreadsOf(g);
    const int end = i < 20 ? kn::ThreadsOf(g) : first + 1;
    for (int t = first; t < end; ++t) {
      const Course course = At(g, block, t);
      EachPlace(g, course, [&](int64_t at, int64_t position) {
        last = std::max(last, at + width);
        const int64_t channel = at / view.inner % view.channels;
        const int64_t place =
            at / view.inner / view.channels * view.inner + at % view.inner;
        const bool fits = at >= 0 && at / row == course.row &&
                          channel == course.channel &&
                          (width > 1 || place == position);
        Check(fits, "a thread of " + Name(view, width));
      });
    }
  }
  Check(last == view.rows * row, "the last number of " + Name(view, width));
}

// Which shapes are group norms with one read: docs/kernels.md has the table.
void Choices() {
  const auto cluster = [](const kn::View& view, int groups, int width,
                          const kn::Limits& limits) {
    return kn::FusedPlanOf(view, width, view.channels / groups, limits).cluster;
  };
  const auto is = [&](const kn::View& view, int width, int large, int other) {
    const int on_large = cluster(view, 32, width, kLarge);
    const int on_other = cluster(view, 32, width, {101376, 1});
    Check(on_large == large && on_other == other,
          "clusters of " + std::to_string(on_large) + " and " +
              std::to_string(on_other) + ": " + Name(view, width));
  };
  is({8, 32 * 32, 128, 1}, 8, 8, 0);
  is({32, 64 * 64, 256, 1}, 8, 8, 0);
  is({2, 8 * 8, 1280, 1}, 8, 2, 1);
  is({128, 7 * 7, 2048, 1}, 8, 1, 1);
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
      EachOnce(view, kn::GeometryOf(view, width), width);
      for (const int64_t size : {int64_t{1}, view.channels}) {
        for (const kn::Limits& limits : {kLarge, kn::Limits{40960, 8}}) {
          const auto plan = kn::FusedPlanOf(view, width, size, limits);
          if (plan.cluster) EachOnce(view, plan.geometry, width);
        }
      }
    }
  }
  for (const int width : {1, 4, 8}) {
    Sampled({1, 4900000000, 8, 1}, width);
    Sampled({3, 1, 5, 4900000000}, width);
    Sampled({1, 100000, 64, 784}, width);
    Sampled({5000000, 1, 1024, 1}, width);
    Sampled({2, 60000, 40000, 1}, width);
  }
  Choices();
  std::printf("geometry: %d failures\n", failures);
  return failures > 0;
}
