#include "emulation.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "emulated_device.h"

namespace emulation {

Where where;

namespace {

constexpr int kMostThreads = 1024;
constexpr int kMostRanks = 16;
constexpr size_t kStack = size_t{1} << 17;
constexpr size_t kSharedBytes = size_t{1} << 24;

std::map<std::string, const Kernel*>& Kernels() {
  static std::map<std::string, const Kernel*> kernels;
  return kernels;
}

struct Fiber {
  ucontext_t context;
  bool done;
  Barriers waits;
  int barriers;
};

char* Pages(size_t bytes) {
  return static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                 -1, 0));
}

// Each array of shared memory is followed by a gap of the same size, which must
// stay 0.
struct Gap {
  size_t at;
  size_t bytes;
};
std::vector<Gap> gaps;

bool GapsAreIntact(const char* shared) {
  for (const Gap& gap : gaps) {
    const char* const begin = shared + gap.at;
    if (std::any_of(begin, begin + gap.bytes, [](char c) { return c != 0; })) {
      return false;
    }
  }
  return true;
}

Fiber fibers[kMostRanks * kMostThreads];
char* dynamic[kMostRanks];
ucontext_t scheduler;
const Kernel* running;
const void* running_task;

Fiber& Running() { return fibers[where.rank * kMostThreads + where.thread]; }

void RunFiber() {
  running->run(running_task);
  Running().done = true;
  swapcontext(&Running().context, &scheduler);
}

void Start(int rank, int thread) {
  static char* const stacks = Pages(kStack * kMostThreads * kMostRanks);
  const int i = rank * kMostThreads + thread;
  Fiber& fiber = fibers[i];
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stacks + kStack * i;
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  fiber.done = false;
  fiber.barriers = 0;
  makecontext(&fiber.context, RunFiber, 0);
}

int InOrder(Order order, int i, int n) {
  if (order == Order::kBackwards) return n - 1 - i;
  // Odd indices first.
  if (order == Order::kMixed) {
    return i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
  }
  return i;
}

// The state of a block when its threads have stopped: all at a cluster barrier,
// all done, or at different barriers.
enum class State { kWaits, kDone, kDiverged };

// Runs the threads of a block past barriers of the block, up to a cluster
// barrier or the end.
State RunBlock(Order order, int threads) {
  while (true) {
    int done = 0, cluster = 0, fewest = 1 << 30, most = 0;
    for (int i = 0; i < threads; ++i) {
      where.thread = InOrder(order, i, threads);
      Fiber& fiber = Running();
      swapcontext(&scheduler, &fiber.context);
      done += fiber.done;
      cluster += !fiber.done && fiber.waits == Barriers::kCluster;
      fewest = fiber.barriers < fewest ? fiber.barriers : fewest;
      most = fiber.barriers > most ? fiber.barriers : most;
    }
    if (fewest != most) return State::kDiverged;
    if (done == threads) return State::kDone;
    if (cluster == threads) return State::kWaits;
    if (done != 0 || cluster != 0) return State::kDiverged;
  }
}

// Returns false if threads stop at different barriers.
bool RunCluster(Order order, const keras_norms::LaunchShape& shape,
                unsigned first) {
  for (int rank = 0; rank < shape.cluster; ++rank) {
    std::memset(dynamic[rank], 0xff, shape.shared);
    for (int t = 0; t < shape.threads; ++t) Start(rank, t);
  }
  while (true) {
    int done = 0;
    for (int i = 0; i < shape.cluster; ++i) {
      where.rank = InOrder(order, i, shape.cluster);
      where.block = first + where.rank;
      const State state = RunBlock(order, shape.threads);
      if (state == State::kDiverged) return false;
      done += state == State::kDone;
    }
    if (done == shape.cluster) return true;
    if (done != 0) return false;
  }
}

}  // namespace

Kernel::Kernel(const char* name, int threads, void (*run)(const void* task))
    : name(name), threads(threads), run(run) {
  Kernels()[name] = this;
}

void Wait(Barriers barrier) {
  Fiber& fiber = Running();
  ++fiber.barriers;
  fiber.waits = barrier;
  swapcontext(&fiber.context, &scheduler);
}

size_t Reserve(size_t bytes) {
  static size_t reserved = 0;
  const size_t at = reserved, padded = (bytes + 15) / 16 * 16;
  gaps.push_back({at + padded, padded});
  reserved += 2 * padded;
  if (reserved > kSharedBytes) std::abort();
  return at;
}

char* SharedOf(int rank) {
  static char* const all = Pages(kSharedBytes * kMostRanks);
  return all + kSharedBytes * rank;
}

char* Shared() { return SharedOf(where.rank); }
char* DynamicShared() { return dynamic[where.rank]; }

const char* NameOf(const char* kernel) {
  const auto found = Kernels().find(kernel);
  return found == Kernels().end() ? nullptr : found->second->name;
}

Emulated::~Emulated() { std::free(scratch_); }

void* Emulated::Scratch(size_t bytes) {
  std::free(scratch_);
  // NaN until it is written.
  scratch_ = std::malloc(bytes);
  std::memset(scratch_, 0xff, bytes);
  return scratch_;
}

std::string Emulated::Launch(const char* kernel,
                             const keras_norms::LaunchShape& shape,
                             const void* task) {
  const auto found = Kernels().find(kernel);
  if (found == Kernels().end()) return std::string("no kernel ") + kernel;
  const bool fits = shape.blocks > 0 && shape.threads > 0 &&
                    shape.threads <= found->second->threads &&
                    shape.cluster > 0 && shape.cluster <= limits_.cluster &&
                    shape.blocks % shape.cluster == 0 && shape.shared >= 0 &&
                    shape.shared <= limits_.shared;
  if (!fits) {
    return std::string(kernel) + " with " + std::to_string(shape.blocks) +
           " blocks of " + std::to_string(shape.threads) +
           " threads, clusters of " + std::to_string(shape.cluster) + ", " +
           std::to_string(shape.shared) + " bytes";
  }
  running = found->second;
  running_task = task;
  where.blocks = shape.blocks;
  // Allocated in the requested size, so that the address sanitizer knows its
  // end.
  for (int rank = 0; rank < shape.cluster; ++rank) {
    dynamic[rank] = static_cast<char*>(
        std::aligned_alloc(16, (shape.shared + 15) / 16 * 16 + 16));
  }
  bool converged = true;
  const int clusters = static_cast<int>(shape.blocks) / shape.cluster;
  for (int i = 0; converged && i < clusters; ++i) {
    converged =
        RunCluster(order_, shape, InOrder(order_, i, clusters) * shape.cluster);
  }
  for (int rank = 0; rank < shape.cluster; ++rank) std::free(dynamic[rank]);
  where.rank = 0;
  if (!converged)
    return std::string(kernel) +
           ": threads of a block wait at different barriers";
  for (int rank = 0; rank < shape.cluster; ++rank) {
    if (GapsAreIntact(SharedOf(rank))) continue;
    return std::string(kernel) + ": writes beyond its shared memory";
  }
  return "";
}

}  // namespace emulation
