// CUDA's driver for the tests, libcuda.so.1 with the emulation behind it: what
// asks the driver is tested as it is, on a machine without a GPU.

#include <cstdlib>
#include <cstring>
#include <string>

#include "emulation.h"

namespace {

constexpr int kNotFound = 500;
constexpr int kInvalidImage = 200;
constexpr int kLaunchFailure = 719;

int depth = 0;  // of contexts that are current

std::string problem;

}  // namespace

#define DRIVER extern "C" __attribute__((visibility("default"))) int

DRIVER cuGetErrorString(int result, const char** words) {
  *words = result == kNotFound        ? "named symbol not found"
           : result == kInvalidImage  ? "device kernel image is invalid"
           : result == kLaunchFailure ? problem.c_str()
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

// Of the capability that EMULATED_CAPABILITY says, as 90.
DRIVER cuDeviceGetAttribute(int* value, int attribute, int) {
  const char* const set = std::getenv("EMULATED_CAPABILITY");
  const int capability = set ? std::atoi(set) : 90;
  *value = attribute == 75 ? capability / 10 : capability % 10;
  return 0;
}

// Machine code is ELF; PTX begins with a comment.
DRIVER cuModuleLoadData(void** module, const void* image) {
  static const char* kinds[] = {"\177ELF", "//"};
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

DRIVER cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z,
                      unsigned threads, unsigned threads_y, unsigned threads_z,
                      unsigned, void*, void** parameters, void**) {
  if (depth != 1 || y * z * threads_y * threads_z != 1) return 1;
  problem = emulation::Emulated(emulation::Order::kMixed)
                .Launch(static_cast<const char*>(function), x, threads,
                        parameters[0]);
  return problem.empty() ? 0 : kLaunchFailure;
}
