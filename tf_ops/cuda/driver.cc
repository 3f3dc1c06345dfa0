#include "driver.h"

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "cubins.h"
#include "driver_api.h"
#include "fused_plan.h"

namespace keras_norms {
namespace {

// The kernels in one context of the driver. They are loaded on first use, maybe
// while a stream is captured. A failure is not remembered, because it may be
// temporary: too little memory.
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

  // Whether the GPU has room for a cluster of a launch. A part of a GPU (MIG)
  // may have none.
  std::string Fits(const char* name, const LaunchShape& shape, bool* fits) {
    Driver::Handle function = nullptr;
    const std::string error = Find(name, &function);
    if (!error.empty()) return error;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto [found, is_new] = fits_.try_emplace(
        {name, shape.threads, shape.cluster, shape.shared}, false);
    if (is_new) {
      int clusters = 0;
      const DriverLaunch launch(shape, nullptr);
      const auto result =
          driver_.max_clusters(&clusters, function, launch.config());
      found->second = result == 0 && clusters > 0;
    }
    *fits = found->second;
    return "";
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
    limits_.cluster = major >= 9 ? kMaxCluster : 1;
    const char* const cubin = CubinFor(10 * major + minor);
    if (cubin == nullptr) {
      return "No kernels were built for a GPU of compute capability " +
             std::to_string(major) + "." + std::to_string(minor) + ".";
    }
    const RelaxedCapture relaxed(driver_);
    return driver_.ErrorOf("cuModuleLoadData", driver_.load(&module_, cubin));
  }

  const Driver& driver_;
  std::mutex mutex_;
  Limits limits_ = {};
  Driver::Handle module_ = nullptr;
  std::map<std::string, Driver::Handle> functions_;
  std::map<std::tuple<std::string, int, int, int>, bool> fits_;
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

bool Stream::Fits(const char* kernel, const LaunchShape& shape) {
  // An error here occurs again at the launch of another kernel.
  bool fits = false;
  WithModule(stream_, [&](const Driver&, LoadedModule& module) {
    return module.Fits(kernel, shape, &fits);
  });
  return fits;
}

std::string Stream::Launch(const char* kernel, const LaunchShape& shape,
                           const void* task) {
  return WithModule(stream_, [&](const Driver& driver, LoadedModule& module) {
    Driver::Handle function = nullptr;
    const std::string error = module.Find(kernel, &function);
    if (!error.empty()) return error;
    const DriverLaunch launch(shape, stream_);
    void* parameters[] = {const_cast<void*>(task)};
    return driver.ErrorOf(
        kernel, driver.launch(launch.config(), function, parameters, nullptr));
  });
}

}  // namespace keras_norms
