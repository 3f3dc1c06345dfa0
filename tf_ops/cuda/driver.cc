#include "driver.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cubins.h"
#include "plan.h"

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
constexpr int kClusterDimension = 4;

struct LaunchConfig {
  unsigned blocks[3];
  unsigned threads[3];
  unsigned shared;
  void* stream;
  LaunchAttribute* attributes;
  unsigned count;
};

// Attributes of devices, and of functions.
constexpr int kMajor = 75, kMinor = 76, kSharedOfBlock = 97;
constexpr int kDynamicShared = 8;

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

// The kernels in one context of the driver. They are loaded on first use. A
// failure is not remembered, because it may be temporary: too little memory, or
// a stream that is being captured.
//
// The lock is held while the driver loads, which may wait for work on this GPU,
// but never while it launches, which may wait for another GPU.
class LoadedModule {
 public:
  explicit LoadedModule(const Driver& driver) : driver_(driver) {}

  std::string Find(Limits* limits) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::string error = Load();
    *limits = limits_;
    return error;
  }

  std::string Find(const char* name, Driver::Handle* function) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *function = functions_[name];
    if (*function != nullptr) return "";
    std::string error = Load();
    if (!error.empty()) return error;
    error = driver_.ErrorOf(name, driver_.function(function, module_, name));
    if (error.empty() && std::strstr(name, "fused") != nullptr) {
      const int max_shared =
          limits_.shared - static_cast<int>(kFusedStaticBytes);
      error = driver_.ErrorOf(
          name, driver_.set(*function, kDynamicShared, max_shared));
    }
    if (error.empty()) functions_[name] = *function;
    return error;
  }

 private:
  std::string Load() {
    if (module_ != nullptr) return "";
    int device = 0, major = 0, minor = 0;
    const std::string error =
        driver_.ErrorOf("cuCtxGetDevice", driver_.device(&device));
    if (!error.empty()) return error;
    const std::pair<int*, int> wanted[] = {
        {&major, kMajor}, {&minor, kMinor}, {&limits_.shared, kSharedOfBlock}};
    for (const auto& [value, attribute] : wanted) {
      const auto result = driver_.attribute(value, attribute, device);
      if (result != 0) return driver_.ErrorOf("cuDeviceGetAttribute", result);
    }
    // Every GPU with clusters supports eight blocks.
    limits_.cluster = major >= 9 ? 8 : 1;
    const char* const cubin = CubinFor(10 * major + minor);
    if (cubin == nullptr) {
      return "No kernels were built for a GPU of compute capability " +
             std::to_string(major) + "." + std::to_string(minor) + ".";
    }
    return driver_.ErrorOf("cuModuleLoadData", driver_.load(&module_, cubin));
  }

  const Driver& driver_;
  std::mutex mutex_;
  Limits limits_ = {};
  Driver::Handle module_ = nullptr;
  std::map<std::string, Driver::Handle> functions_;
};

// Makes a context current for its own lifetime.
class CurrentContext {
 public:
  CurrentContext(const Driver& driver, Driver::Handle context)
      : driver_(driver),
        error_(driver.ErrorOf("cuCtxPushCurrent", driver.push(context))) {}
  ~CurrentContext() {
    Driver::Handle previous;
    if (error_.empty()) driver_.pop(&previous);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;
  const std::string& error() const { return error_; }

 private:
  const Driver& driver_;
  const std::string error_;
};

// The module of a context. Modules are never unloaded, because contexts last
// until the process ends.
LoadedModule& ModuleIn(const Driver& driver, Driver::Handle context) {
  static std::mutex mutex;
  static auto& contexts = *new std::map<Driver::Handle, LoadedModule>;
  const std::lock_guard<std::mutex> lock(mutex);
  return contexts.try_emplace(context, driver).first->second;
}

// Calls use(driver, module) with the context of a stream current.
template <class F>
std::string WithModule(void* stream, const F& use) {
  std::string error;
  const Driver* const driver = Driver::Get(&error);
  if (driver == nullptr) return error;
  Driver::Handle context = nullptr;
  error = driver->ErrorOf("cuStreamGetCtx",
                          driver->stream_context(stream, &context));
  if (!error.empty()) return error;
  const CurrentContext current(*driver, context);
  if (!current.error().empty()) return current.error();
  return use(*driver, ModuleIn(*driver, context));
}

}  // namespace

Limits Stream::limits() {
  // An error here occurs again at the launch, which returns it.
  Limits limits = {0, 1};
  WithModule(stream_, [&](const Driver&, LoadedModule& module) {
    return module.Find(&limits);
  });
  return limits;
}

std::string Stream::Launch(const char* kernel, const LaunchShape& shape,
                           const void* task) {
  return WithModule(stream_, [&](const Driver& driver, LoadedModule& module) {
    Driver::Handle function = nullptr;
    const std::string error = module.Find(kernel, &function);
    if (!error.empty()) return error;
    LaunchAttribute cluster = {};
    cluster.id = kClusterDimension;
    cluster.cluster[0] = static_cast<unsigned>(shape.cluster);
    cluster.cluster[1] = cluster.cluster[2] = 1;
    const LaunchConfig config = {{shape.blocks, 1, 1},
                                 {static_cast<unsigned>(shape.threads), 1, 1},
                                 static_cast<unsigned>(shape.shared),
                                 stream_,
                                 &cluster,
                                 shape.cluster > 1 ? 1u : 0u};
    void* parameters[] = {const_cast<void*>(task)};
    return driver.ErrorOf(
        kernel, driver.launch(&config, function, parameters, nullptr));
  });
}

}  // namespace keras_norms
