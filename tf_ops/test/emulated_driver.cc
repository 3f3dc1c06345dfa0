// A libcuda.so.1 that runs kernels on the emulation. With it, the callers of
// CUDA's driver are tested unchanged on a machine without a GPU.

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "emulation.h"

namespace {

constexpr int kNotFound = 500;
constexpr int kInvalidImage = 200;
constexpr int kLaunchFailure = 719;

constexpr int kUnsupportedInCapture = 900;

int depth = 0;    // of the stack of contexts
int mode = 0;     // of captures: global, of this thread, or relaxed
int allowed = 0;  // bytes of dynamic shared memory

std::string error;

}  // namespace

#define DRIVER extern "C" __attribute__((visibility("default"))) int

DRIVER cuGetErrorString(int result, const char** words) {
  *words = result == kNotFound        ? "named symbol not found"
           : result == kInvalidImage  ? "device kernel image is invalid"
           : result == kLaunchFailure ? error.c_str()
                                      : nullptr;
  return *words == nullptr;
}

DRIVER cuStreamGetCtx(void*, void** context) {
  static int only;
  *context = &only;
  return 0;
}

DRIVER cuCtxPushCurrent_v2(void*) {
  ++depth;
  return 0;
}

DRIVER cuCtxPopCurrent_v2(void**) {
  --depth;
  return 0;
}

DRIVER cuCtxGetDevice(int* device) {
  *device = 0;
  return depth == 1 ? 0 : 201;
}

// The compute capability is that of the environment variable
// EMULATED_CAPABILITY, 90 by default.
DRIVER cuDeviceGetAttribute(int* value, int attribute, int) {
  const char* const set = std::getenv("EMULATED_CAPABILITY");
  const int capability = set ? std::atoi(set) : 90;
  switch (attribute) {
    case 75:
      *value = capability / 10;
      return 0;
    case 76:
      *value = capability % 10;
      return 0;
    case 97:
      *value = capability >= 90 ? 232448 : 101376;
      return 0;
    default:
      return 1;
  }
}

// A cubin is an ELF file; PTX begins with a comment. The stream might be
// captured.
DRIVER cuModuleLoadData(void** module, const void* image) {
  static const char* kinds[] = {"\177ELF", "//"};
  if (mode != 2) return kUnsupportedInCapture;
  for (const char*& kind : kinds) {
    if (std::memcmp(image, kind, std::strlen(kind)) == 0) {
      *module = &kind;
      return 0;
    }
  }
  return kInvalidImage;
}

DRIVER cuModuleGetFunction(void** function, void*, const char* name) {
  *function = const_cast<char*>(emulation::NameOf(name));
  return *function == nullptr ? kNotFound : 0;
}

// The structures of the driver API, as its manual defines them.
struct CUlaunchAttribute {
  int id;
  char pad[4];
  union {
    char value[64];
    unsigned cluster[3];
  };
};
struct CUlaunchConfig {
  unsigned x, y, z, threads_x, threads_y, threads_z, shared;
  void* stream;
  CUlaunchAttribute* attributes;
  unsigned count;
};

DRIVER cuLaunchKernelEx(const CUlaunchConfig* config, void* function,
                        void** parameters, void**) {
  const CUlaunchConfig& c = *config;
  const unsigned others = c.y * c.z * c.threads_y * c.threads_z;
  if (depth != 1 || others != 1) return 1;
  keras_norms::LaunchShape shape = {c.x, static_cast<int>(c.threads_x), 1,
                                    static_cast<int>(c.shared)};
  for (unsigned i = 0; i < c.count; ++i) {
    if (c.attributes[i].id != 4) return 1;
    shape.cluster = static_cast<int>(c.attributes[i].cluster[0]);
  }
  if (shape.shared > 49152 && shape.shared > allowed) return 1;
  error = emulation::Emulated(emulation::Order::kMixed)
              .Launch(static_cast<const char*>(function), shape, parameters[0]);
  return error.empty() ? 0 : kLaunchFailure;
}

// A part of a GPU without room for clusters, if EMULATED_CLUSTERS is 0.
DRIVER cuOccupancyMaxActiveClusters(int* clusters, void*,
                                    const CUlaunchConfig*) {
  const char* const set = std::getenv("EMULATED_CLUSTERS");
  *clusters = set ? std::atoi(set) : 1;
  return 0;
}

DRIVER cuFuncSetAttribute(void*, int attribute, int value) {
  if (attribute == 8) allowed = value;
  return attribute == 8 ? 0 : 1;
}

DRIVER cuThreadExchangeStreamCaptureMode(int* exchanged) {
  std::swap(mode, *exchanged);
  return 0;
}
