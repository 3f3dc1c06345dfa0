// The kernels as typed FFI handlers: for XLA on CPUs and on GPUs, whoever calls
// it. They hold nothing of TensorFlow, so that JAX can call the same
// (`jax.ffi`).
//
// Arguments, results and attributes are those of ../contract/operations.def;
// `activation` is an index into activations.def, and `epsilon` a double.

#include <functional>
#include <string>

#include "../cpu/kernels.h"
#include "../cpu/pool.h"
#include "../cuda/driver.h"
#include "call.h"
#include "xla/ffi/api/ffi.h"

// Who registers the handlers itself, as JAX does, has no such function.
#ifdef KERAS_NORMS_UNREGISTERED
#define KERAS_NORMS_REGISTER(target, platform, symbol)
#else
#define KERAS_NORMS_REGISTER(target, platform, symbol) \
  XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), #target, platform, symbol);
// Declared where TensorFlow's headers for it would ask for all of XLA.
namespace xla::ffi {
const XLA_FFI_Api* GetXlaFfiApi();
}
#endif

namespace keras_norms {
namespace {

// Where operations run, as in ../tensorflow/device_traits.h. Run returns what
// went wrong, or nothing.
class OnCpu {
 public:
  explicit OnCpu(ffi::ThreadPool threads)
      : pool_(static_cast<int>(threads.num_threads()) + 1,
              [threads](std::function<void()> task) mutable {
                threads.Schedule(std::move(task));
              }) {}

  template <class Arguments>
  std::string Run(const Arguments& arguments) {
    keras_norms::Run(BestKernels(), arguments, pool_);
    return "";
  }

 private:
  Pool pool_;
};

class OnGpu {
 public:
  OnGpu(void* stream, ffi::ScratchAllocator* scratch)
      : stream_(stream, [scratch](size_t bytes) {
          // XLA refuses to promise more than 16, and gives more.
          return scratch->Allocate(bytes, 16).value_or(nullptr);
        }) {}

  template <class Arguments>
  std::string Run(const Arguments& arguments) {
    return RunOnDevice(arguments, stream_);
  }

 private:
  Stream stream_;
};

template <class Arguments, class On>
ffi::Error Handle(const Call& call, On on) {
  Arguments arguments;
  const std::string wrong = call.Read(&arguments);
  if (!wrong.empty()) return ffi::Error::InvalidArgument(wrong);
  const std::string failed = on.Run(arguments);
  if (failed.empty()) return ffi::Error::Success();
  return ffi::Error::Internal("keras_norms: " + failed);
}

template <class Arguments>
ffi::Error HandleOnCpu(ffi::ThreadPool threads, ffi::RemainingArgs arguments,
                       ffi::RemainingRets results, ffi::Dictionary attributes) {
  return Handle<Arguments>(Call(arguments, results, attributes),
                           OnCpu(threads));
}

template <class Arguments>
ffi::Error HandleOnGpu(void* stream, ffi::ScratchAllocator scratch,
                       ffi::RemainingArgs arguments, ffi::RemainingRets results,
                       ffi::Dictionary attributes) {
  return Handle<Arguments>(Call(arguments, results, attributes),
                           OnGpu(stream, &scratch));
}

auto BindingOnCpu() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

auto BindingOnGpu() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::PlatformStream<void*>>()
      .Ctx<ffi::ScratchAllocator>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

}  // namespace
}  // namespace keras_norms

// Visible by name, also in a library that hides the rest, for those who
// register it themselves; on GPUs with the ending _cuda.
#define KERAS_NORMS_OPERATION(Name, name, ...)                           \
  KERAS_NORMS_HANDLER(Cpu, Name, keras_norms_##name, keras_norms_##name, \
                      "Host")                                            \
  KERAS_NORMS_HANDLER(Gpu, Name, keras_norms_##name,                     \
                      keras_norms_##name##_cuda, "CUDA")
#define KERAS_NORMS_HANDLER(On, Name, target, symbol, platform)          \
  _Pragma("GCC visibility push(default)") XLA_FFI_DEFINE_HANDLER_SYMBOL( \
      symbol, (keras_norms::HandleOn##On<keras_norms::Name##Arguments>), \
      keras_norms::BindingOn##On());                                     \
  _Pragma("GCC visibility pop") KERAS_NORMS_REGISTER(target, platform, symbol)
#include "../contract/operations.def"
