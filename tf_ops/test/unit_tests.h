// Tests of what the kernels for CPUs use: views, halves and the thread pool.

#ifndef KERAS_NORMS_TEST_UNIT_TESTS_H_
#define KERAS_NORMS_TEST_UNIT_TESTS_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../contract/validation.h"
#include "../cpu/kernels.h"
#include "../cpu/thread_pool.h"
#include "../cpu/vectors.h"
#include "expect.h"
#include "threads.h"

namespace kn = keras_norms;

namespace {

// Subnormal halves must be read exactly while the processor flushes subnormal
// floats to 0, which TensorFlow sets on its threads.
void TestSubnormalHalves() {
#ifdef __x86_64__
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
#endif
  Half halves[2 * kVectorSize<float>];
  for (int bits = 1; bits < 0x400; ++bits) {
    for (Half& half : halves) half.bits = bits;
    const float want = bits * 5.9604645e-8f;
    const auto found = Load<Vector<float>>(halves);
    Expect(Load<float>(halves) == want, "a subnormal half");
    Expect(found[0] == want, "a vector of subnormal halves");
  }
#ifdef __x86_64__
  _mm_setcsr(before);
#endif
}

// The pool schedules a task a second time, once, if a thread does not start it.
// A task that starts late finds nothing to do.
void TestLateThreads() {
  std::vector<std::function<void()>> late;
  std::atomic<int64_t> done{0};
  {
    Threads threads(1);
    const kn::ThreadPool pool(2, [&](std::function<void()> task) {
      late.push_back(task);
      if (late.size() > 1) threads.Schedule(std::move(task));
    });
    pool.Run(
        200,
        [](void* context, int64_t) {
          std::this_thread::sleep_for(std::chrono::microseconds(200));
          ++*static_cast<std::atomic<int64_t>*>(context);
        },
        &done);
    Expect(done == 200, "all items, though a thread is late");
    Expect(late.size() == 2, "asked twice: " + std::to_string(late.size()));
  }
  for (const auto& task : late) task();
  Expect(done == 200, "late threads do nothing");
}

// The error for a number of groups that is not allowed.
void TestGroups() {
  const auto error = [](int64_t groups, int64_t channels) {
    kn::Attributes attributes;
    attributes.groups = groups;
    const kn::Shape x = kn::Sizes{2, channels}, empty = kn::Sizes{0};
    return kn::Validate(kn::OperationOf<kn::GroupNormArguments>(), attributes,
                        {x, empty, empty});
  };
  const std::string rule =
      "groups must be at least 1 and divide the number of channels. Received: ";
  Expect(error(3, 6).empty(), "3 groups of 6 channels");
  Expect(error(4, 6) == rule + "groups=4 for 6 channels.", error(4, 6));
  Expect(error(4, kn::kUnknown).empty(), "groups of unknown channels");
  Expect(error(0, kn::kUnknown) ==
             rule + "groups=0 for an unknown number of channels.",
         error(0, kn::kUnknown));
}

// Sizes beyond 2^31 elements, which takes no memory.
void TestViews() {
  const kn::View view = kn::ViewOf({70000, 70000, 3}, 2, -1);
  Expect(view.outer == 4900000000 && view.rows == 1, "outer beyond 2^32");
  const kn::Sizes first = {3, 5, 70000, 70000};
  Expect(kn::ViewOf(first, 1, 1).inner == 4900000000, "inner beyond 2^32");
  const kn::Sizes blocks = {12, 7, 5};
  Expect(kn::ViewOf(blocks, 2, 4).rows == 3, "blocks of 4 of 12");
  Expect(kn::ViewOf(blocks, 2, 5).rows == 12, "5 do not divide 12");
  Expect(kn::ViewOf(blocks, 1, 4).outer == 4, "blocks, channels first");
}

}  // namespace

#endif  // KERAS_NORMS_TEST_UNIT_TESTS_H_
