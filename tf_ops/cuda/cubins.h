// Chooses the machine code of cubins.S for a GPU.

#ifndef KERAS_NORMS_CUDA_CUBINS_H_
#define KERAS_NORMS_CUDA_CUBINS_H_

#define KERAS_NORMS_CUBINS(USE) \
  USE(sm_70, 70)                \
  USE(sm_75, 75)                \
  USE(sm_80, 80)                \
  USE(sm_86, 86)                \
  USE(sm_89, 89)                \
  USE(sm_90, 90)                \
  USE(sm_100, 100)              \
  USE(sm_120, 120)              \
  USE(compute_90, 0)

#ifdef __linux__
#define KERAS_NORMS_DECLARE(name, capability)       \
  extern "C" const char keras_norms_cubin_##name[]; \
  extern "C" const char keras_norms_cubin_end_##name[];
KERAS_NORMS_CUBINS(KERAS_NORMS_DECLARE)
#undef KERAS_NORMS_DECLARE
#endif

namespace keras_norms {

struct Cubin {
  int capability;  // 10 major + minor; 0 for PTX
  const char* begin;
  const char* end;
};

// From the oldest to the newest; PTX is last.
constexpr Cubin kCubins[] = {
#ifdef __linux__
#define KERAS_NORMS_CUBIN(name, capability) \
  {capability, keras_norms_cubin_##name, keras_norms_cubin_end_##name},
    KERAS_NORMS_CUBINS(KERAS_NORMS_CUBIN)
#undef KERAS_NORMS_CUBIN
#else
    {0, nullptr, nullptr},
#endif
};

// Machine code runs on its own architecture and on later minor versions of it,
// and PTX on all later architectures. Null if nothing fits.
inline const char* CubinFor(int capability) {
  const char* found = nullptr;
  for (const Cubin& cubin : kCubins) {
    if (cubin.begin == cubin.end) continue;
    const bool code = cubin.capability != 0;
    if (code && (cubin.capability / 10 != capability / 10 ||
                 cubin.capability > capability)) {
      continue;
    }
    if (!code && (found != nullptr || capability < 90)) continue;
    found = cubin.begin;
  }
  return found;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_CUBINS_H_
