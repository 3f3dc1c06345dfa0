// Chooses the best instruction set of this processor.

#include <cstring>
#include <initializer_list>

#include "kernels.h"

namespace keras_norms {

const Kernels& Baseline();
#ifdef __x86_64__
const Kernels& Avx2();
const Kernels& Avx512();
#endif

const Kernels* KernelsNamed(const char* name) {
  if (std::strcmp(name, "Baseline") == 0) return &Baseline();
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  if (std::strcmp(name, "Avx2") == 0) return avx2 ? &Avx2() : nullptr;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (std::strcmp(name, "Avx512") == 0) return avx512 ? &Avx512() : nullptr;
#endif
  return nullptr;
}

const Kernels& BestKernels() {
  static const Kernels* const best = [] {
    for (const char* name : {"Avx512", "Avx2"}) {
      if (const Kernels* kernels = KernelsNamed(name)) return kernels;
    }
    return KernelsNamed("Baseline");
  }();
  return *best;
}

}  // namespace keras_norms
