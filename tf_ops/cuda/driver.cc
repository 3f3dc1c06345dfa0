#include "driver.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <string>

#define KERAS_NORMS_IMAGES(USE) \
  USE(sm_70, 70)                \
  USE(sm_75, 75)                \
  USE(sm_80, 80)                \
  USE(sm_86, 86)                \
  USE(sm_89, 89)                \
  USE(sm_90, 90)                \
  USE(compute_90, 0)

#ifdef __linux__
#define KERAS_NORMS_DECLARE(name, capability)       \
  extern "C" const char keras_norms_image_##name[]; \
  extern "C" const char keras_norms_image_end_##name[];
KERAS_NORMS_IMAGES(KERAS_NORMS_DECLARE)
#undef KERAS_NORMS_DECLARE
#endif

namespace keras_norms {
namespace {

struct Image {
  int capability;  // 10 major + minor; 0 for PTX
  const char* begin;
  const char* end;
};

// From the oldest on; the PTX last.
constexpr Image kImages[] = {
#ifdef __linux__
#define KERAS_NORMS_IMAGE(name, capability) \
  {capability, keras_norms_image_##name, keras_norms_image_end_##name},
    KERAS_NORMS_IMAGES(KERAS_NORMS_IMAGE)
#undef KERAS_NORMS_IMAGE
#else
    {0, nullptr, nullptr},
#endif
};

// Machine code runs on its own architecture, and on later minor versions of
// the same; PTX on what comes after it.
const char* ImageFor(int capability) {
  const char* found = nullptr;
  for (const Image& image : kImages) {
    if (image.begin == image.end) continue;
    const bool code = image.capability != 0;
    if (code && (image.capability / 10 != capability / 10 ||
                 image.capability > capability)) {
      continue;
    }
    if (!code && (found != nullptr || capability < 90)) continue;
    found = image.begin;
  }
  return found;
}

// The functions of CUDA's driver that are used, as its manual has them.
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
  Result (*launch)(Handle function, unsigned x, unsigned y, unsigned z,
                   unsigned threads_x, unsigned threads_y, unsigned threads_z,
                   unsigned shared, Handle stream, void** parameters,
                   void** extra);

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
    Find(library, "cuLaunchKernel", &launch);
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

// The kernels in one context of the driver, loaded when first asked for.
class Loaded {
 public:
  std::string Find(const Driver& driver, const char* name,
                   Driver::Handle* function) {
    if (module_ == nullptr) {
      const std::string wrong = Load(driver);
      if (!wrong.empty()) return wrong;
    }
    Driver::Handle& known = functions_[name];
    if (known == nullptr) {
      const std::string wrong =
          driver.Words(name, driver.function(&known, module_, name));
      if (!wrong.empty()) return wrong;
    }
    *function = known;
    return "";
  }

 private:
  std::string Load(const Driver& driver) {
    constexpr int kMajor = 75, kMinor = 76;  // of CUdevice_attribute
    int device = 0, major = 0, minor = 0;
    std::string wrong = driver.Words("cuCtxGetDevice", driver.device(&device));
    for (const auto& [value, attribute] :
         {std::pair(&major, kMajor), std::pair(&minor, kMinor)}) {
      if (!wrong.empty()) return wrong;
      wrong = driver.Words("cuDeviceGetAttribute",
                           driver.attribute(value, attribute, device));
    }
    if (!wrong.empty()) return wrong;
    const char* const image = ImageFor(10 * major + minor);
    if (image == nullptr) {
      return "no kernels for a GPU of compute capability " +
             std::to_string(major) + "." + std::to_string(minor) +
             " were built";
    }
    return driver.Words("cuModuleLoadData", driver.load(&module_, image));
  }

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

}  // namespace

std::string Stream::Launch(const char* kernel, unsigned blocks, int threads,
                           const void* task) {
  std::string wrong;
  const Driver* const driver = Driver::Get(&wrong);
  if (driver == nullptr) return wrong;
  Driver::Handle context = nullptr;
  wrong = driver->Words("cuStreamGetCtx",
                        driver->stream_context(stream_, &context));
  if (!wrong.empty()) return wrong;
  const Current current(*driver, context);
  if (!current.wrong().empty()) return current.wrong();
  Driver::Handle function = nullptr;
  {
    static std::mutex mutex;
    static std::map<Driver::Handle, Loaded>& contexts =
        *new std::map<Driver::Handle, Loaded>;
    const std::lock_guard<std::mutex> lock(mutex);
    wrong = contexts[context].Find(*driver, kernel, &function);
  }
  if (!wrong.empty()) return wrong;
  void* parameters[] = {const_cast<void*>(task)};
  return driver->Words(
      kernel, driver->launch(function, blocks, 1, 1, threads, 1, 1, 0, stream_,
                             parameters, nullptr));
}

}  // namespace keras_norms
