// CUDA's driver API: the parts of it that launch kernels.

#ifndef KERAS_NORMS_CUDA_DRIVER_API_H_
#define KERAS_NORMS_CUDA_DRIVER_API_H_

#include <dlfcn.h>

#include <string>

#include "launch.h"

namespace keras_norms {
namespace {

// The structures of CUDA's driver API that are used, as its manual defines
// them.
struct LaunchAttribute {
  int id;
  char pad[4];
  union {
    char value[64];
    unsigned cluster[3];
  };
};

struct LaunchConfig {
  unsigned blocks[3];
  unsigned threads[3];
  unsigned shared;
  void* stream;
  LaunchAttribute* attributes;
  unsigned count;
};

// The configuration of a launch.
class DriverLaunch {
 public:
  DriverLaunch(const LaunchShape& shape, void* stream) {
    cluster_.id = kClusterDimension;
    cluster_.cluster[0] = static_cast<unsigned>(shape.cluster);
    cluster_.cluster[1] = cluster_.cluster[2] = 1;
    config_ = {{shape.blocks, 1, 1},
               {static_cast<unsigned>(shape.threads), 1, 1},
               static_cast<unsigned>(shape.shared),
               stream,
               &cluster_,
               shape.cluster > 1 ? 1u : 0u};
  }
  DriverLaunch(const DriverLaunch&) = delete;
  DriverLaunch& operator=(const DriverLaunch&) = delete;

  const LaunchConfig* config() const { return &config_; }

 private:
  static constexpr int kClusterDimension = 4;

  LaunchAttribute cluster_ = {};
  LaunchConfig config_;
};

// Attributes of devices, and of functions.
constexpr int kMajor = 75, kMinor = 76, kSharedOfBlock = 97;
constexpr int kDynamicShared = 8;
// A mode of capturing streams, see RelaxedCapture.
constexpr int kRelaxed = 2;

class Driver {
 public:
  using Result = int;
  using Handle = void*;

  // Returns null, and the reason in `error`, if there is no driver.
  static const Driver* Get(std::string* error) {
    static const Driver driver;
    *error = driver.error_;
    return driver.error_.empty() ? &driver : nullptr;
  }

  // The error of a call, or an empty string.
  std::string ErrorOf(const char* what, Result result) const {
    if (result == 0) return "";
    const char* text = nullptr;
    error_string(result, &text);
    return std::string(what) + ": " + (text ? text : "unknown error") +
           " (CUDA error " + std::to_string(result) + ")";
  }

  Result (*error_string)(Result, const char**);
  Result (*stream_context)(Handle stream, Handle* context);
  Result (*push)(Handle context);
  Result (*pop)(Handle* context);
  Result (*device)(int* device);
  Result (*attribute)(int* value, int attribute, int device);
  Result (*load)(Handle* module, const void* cubin);
  Result (*function)(Handle* function, Handle module, const char* name);
  Result (*set)(Handle function, int attribute, int value);
  Result (*launch)(const LaunchConfig* config, Handle function,
                   void** parameters, void** extra);
  Result (*max_clusters)(int* clusters, Handle function,
                         const LaunchConfig* config);
  Result (*exchange_capture_mode)(int* mode);

 private:
  Driver() {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      error_ = "CUDA's driver cannot be loaded: " + std::string(dlerror());
      return;
    }
    Find(library, "cuGetErrorString", &error_string);
    Find(library, "cuStreamGetCtx", &stream_context);
    Find(library, "cuCtxPushCurrent_v2", &push);
    Find(library, "cuCtxPopCurrent_v2", &pop);
    Find(library, "cuCtxGetDevice", &device);
    Find(library, "cuDeviceGetAttribute", &attribute);
    Find(library, "cuModuleLoadData", &load);
    Find(library, "cuModuleGetFunction", &function);
    Find(library, "cuFuncSetAttribute", &set);
    Find(library, "cuLaunchKernelEx", &launch);
    Find(library, "cuOccupancyMaxActiveClusters", &max_clusters);
    Find(library, "cuThreadExchangeStreamCaptureMode", &exchange_capture_mode);
  }

  template <class F>
  void Find(void* library, const char* name, F* function) {
    *function = reinterpret_cast<F>(dlsym(library, name));
    if (*function == nullptr && error_.empty()) {
      error_ = std::string("CUDA's driver is too old: it lacks ") + name;
    }
  }

  std::string error_;
};

// Lets this thread load kernels while it captures a stream into a graph. Calls
// that may wait for the GPU are refused then, unless they are declared to be no
// part of the graph.
class RelaxedCapture {
 public:
  explicit RelaxedCapture(const Driver& driver) : driver_(driver) {
    driver_.exchange_capture_mode(&mode_);
  }
  ~RelaxedCapture() { driver_.exchange_capture_mode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  const Driver& driver_;
  int mode_ = kRelaxed;
};

}  // namespace
}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_DRIVER_API_H_
