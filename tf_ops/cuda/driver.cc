#include "driver.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "images.h"
#include "plan.h"

namespace keras_norms {
namespace {

// What of CUDA's driver is used, as its manual has it.
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

  // Null, with the reason in `problem`, where there is no driver.
  static const Driver* Get(std::string* problem) {
    static const Driver driver;
    *problem = driver.problem_;
    return driver.problem_.empty() ? &driver : nullptr;
  }

  // What a call gave back, in words; empty where it went well.
  std::string Words(const char* what, Result result) const {
    if (result == 0) return "";
    const char* words = nullptr;
    error_string(result, &words);
    return std::string(what) + ": " + (words ? words : "unknown error") +
           " (CUDA error " + std::to_string(result) + ")";
  }

  Result (*error_string)(Result, const char**);
  Result (*stream_context)(Handle stream, Handle* context);
  Result (*push)(Handle context);
  Result (*pop)(Handle* context);
  Result (*device)(int* device);
  Result (*attribute)(int* value, int attribute, int device);
  Result (*load)(Handle* module, const void* image);
  Result (*function)(Handle* function, Handle module, const char* name);
  Result (*set)(Handle function, int attribute, int value);
  Result (*launch)(const LaunchConfig* config, Handle function,
                   void** parameters, void** extra);

 private:
  Driver() {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      problem_ = "CUDA's driver cannot be loaded: " + std::string(dlerror());
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
    if (*function == nullptr && problem_.empty()) {
      problem_ = std::string("CUDA's driver is too old: it has no ") + name;
    }
  }

  std::string problem_;
};

// The kernels in one context of the driver, found when first asked for. What
// fails may go well the next time: memory, or a stream that is captured.
//
// Its lock is held while the driver loads, which may wait for what runs on this
// GPU, never while it launches: that may wait for another.
class Loaded {
 public:
  explicit Loaded(const Driver& driver) : driver_(driver) {}

  std::string Find(Limits* limits) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::string wrong = Load();
    *limits = limits_;
    return wrong;
  }

  std::string Find(const char* name, Driver::Handle* function) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *function = functions_[name];
    if (*function != nullptr) return "";
    std::string wrong = Load();
    if (!wrong.empty()) return wrong;
    wrong = driver_.Words(name, driver_.function(function, module_, name));
    if (wrong.empty() && std::strstr(name, "fused") != nullptr) {
      const int most = limits_.shared - static_cast<int>(kFusedStatic);
      wrong = driver_.Words(name, driver_.set(*function, kDynamicShared, most));
    }
    if (wrong.empty()) functions_[name] = *function;
    return wrong;
  }

 private:
  std::string Load() {
    if (module_ != nullptr) return "";
    int device = 0, major = 0, minor = 0;
    const std::string wrong =
        driver_.Words("cuCtxGetDevice", driver_.device(&device));
    if (!wrong.empty()) return wrong;
    const std::pair<int*, int> wanted[] = {
        {&major, kMajor}, {&minor, kMinor}, {&limits_.shared, kSharedOfBlock}};
    for (const auto& [value, attribute] : wanted) {
      const auto result = driver_.attribute(value, attribute, device);
      if (result != 0) return driver_.Words("cuDeviceGetAttribute", result);
    }
    // Eight, which all with clusters have.
    limits_.cluster = major >= 9 ? 8 : 1;
    const char* const image = ImageFor(10 * major + minor);
    if (image == nullptr) {
      return "no kernels for a GPU of compute capability " +
             std::to_string(major) + "." + std::to_string(minor) +
             " were built";
    }
    return driver_.Words("cuModuleLoadData", driver_.load(&module_, image));
  }

  const Driver& driver_;
  std::mutex mutex_;
  Limits limits_ = {};
  Driver::Handle module_ = nullptr;
  std::map<std::string, Driver::Handle> functions_;
};

// A context is made current while this lives.
class Current {
 public:
  Current(const Driver& driver, Driver::Handle context)
      : driver_(driver),
        wrong_(driver.Words("cuCtxPushCurrent", driver.push(context))) {}
  ~Current() {
    Driver::Handle before;
    if (wrong_.empty()) driver_.pop(&before);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  const std::string& wrong() const { return wrong_; }

 private:
  const Driver& driver_;
  const std::string wrong_;
};

// Of a context. What is loaded stays to the end: contexts do.
Loaded& LoadedIn(const Driver& driver, Driver::Handle context) {
  static std::mutex mutex;
  static auto& contexts = *new std::map<Driver::Handle, Loaded>;
  const std::lock_guard<std::mutex> lock(mutex);
  return contexts.try_emplace(context, driver).first->second;
}

// use(driver, loaded) with the context of a stream.
template <class F>
std::string WithLoaded(void* stream, const F& use) {
  std::string wrong;
  const Driver* const driver = Driver::Get(&wrong);
  if (driver == nullptr) return wrong;
  Driver::Handle context = nullptr;
  wrong =
      driver->Words("cuStreamGetCtx", driver->stream_context(stream, &context));
  if (!wrong.empty()) return wrong;
  const Current current(*driver, context);
  if (!current.wrong().empty()) return current.wrong();
  return use(*driver, LoadedIn(*driver, context));
}

}  // namespace

Limits Stream::limits() {
  // What goes wrong here goes wrong again at the launch.
  Limits limits = {0, 1};
  WithLoaded(stream_, [&](const Driver&, Loaded& loaded) {
    return loaded.Find(&limits);
  });
  return limits;
}

std::string Stream::Launch(const char* kernel, const LaunchShape& shape,
                           const void* task) {
  return WithLoaded(stream_, [&](const Driver& driver, Loaded& loaded) {
    Driver::Handle function = nullptr;
    const std::string wrong = loaded.Find(kernel, &function);
    if (!wrong.empty()) return wrong;
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
    return driver.Words(kernel,
                        driver.launch(&config, function, parameters, nullptr));
  });
}

}  // namespace keras_norms
