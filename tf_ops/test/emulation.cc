#include "emulation.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdlib>
#include <map>
#include <string>

#include "emulated.h"

namespace emulation {

Where where;

namespace {

constexpr int kMostThreads = 1024;
constexpr size_t kStack = size_t{1} << 18;

std::map<std::string, const Kernel*>& Kernels() {
  static std::map<std::string, const Kernel*> kernels;
  return kernels;
}

struct Fiber {
  ucontext_t context;
  bool done;
  int barriers;
};

Fiber* fibers;
ucontext_t scheduler;
const Kernel* running;
const void* given;

void Begin() {
  running->run(given);
  fibers[where.thread].done = true;
  swapcontext(&fibers[where.thread].context, &scheduler);
}

int At(Order order, int i, int threads) {
  if (order == Order::kBackwards) return threads - 1 - i;
  // Odd ones first.
  if (order == Order::kMixed) {
    return i < threads / 2 ? 2 * i + 1 : 2 * (i - threads / 2);
  }
  return i;
}

void Start(int thread) {
  static char* const stacks = static_cast<char*>(
      mmap(nullptr, kStack * kMostThreads, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  Fiber& fiber = fibers[thread];
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stacks + kStack * thread;
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  fiber.done = false;
  fiber.barriers = 0;
  makecontext(&fiber.context, Begin, 0);
}

// All threads of a block to its next barrier, again and again. False where
// they do not come to the same barriers.
bool RunBlock(Order order, int threads) {
  for (int t = 0; t < threads; ++t) Start(t);
  int left = threads;
  while (left > 0) {
    left = 0;
    for (int i = 0; i < threads; ++i) {
      where.thread = At(order, i, threads);
      Fiber& fiber = fibers[where.thread];
      if (fiber.done) continue;
      swapcontext(&scheduler, &fiber.context);
      if (!fiber.done) ++left;
    }
    if (left > 0 && left < threads) return false;
  }
  for (int t = 1; t < threads; ++t) {
    if (fibers[t].barriers != fibers[0].barriers) return false;
  }
  return true;
}

}  // namespace

Kernel::Kernel(const char* name, int threads, void (*run)(const void* task))
    : name(name), threads(threads), run(run) {
  Kernels()[name] = this;
}

void Wait() {
  Fiber& fiber = fibers[where.thread];
  ++fiber.barriers;
  swapcontext(&fiber.context, &scheduler);
}

const char* NameOf(const char* kernel) {
  const auto found = Kernels().find(kernel);
  return found == Kernels().end() ? nullptr : found->second->name;
}

Emulated::~Emulated() { std::free(scratch_); }

void* Emulated::Scratch(size_t bytes) {
  std::free(scratch_);
  // Not a number, until it is written.
  scratch_ = std::malloc(bytes);
  std::memset(scratch_, 0xff, bytes);
  return scratch_;
}

std::string Emulated::Launch(const char* kernel, unsigned blocks, int threads,
                             const void* task) {
  const auto found = Kernels().find(kernel);
  if (found == Kernels().end()) return std::string("no kernel ") + kernel;
  if (blocks == 0 || threads < 1 || threads > found->second->threads) {
    return std::string(kernel) + " with " + std::to_string(blocks) +
           " blocks of " + std::to_string(threads) + " threads";
  }
  static Fiber all[kMostThreads];
  fibers = all;
  running = found->second;
  given = task;
  where.blocks = blocks;
  for (unsigned b = 0; b < blocks; ++b) {
    where.block = order_ == Order::kBackwards ? blocks - 1 - b : b;
    if (!RunBlock(order_, threads)) {
      return std::string(kernel) + ": threads of a block wait apart";
    }
  }
  return "";
}

}  // namespace emulation
