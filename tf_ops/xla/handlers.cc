// The operations as typed FFI handlers, for XLA on CPUs and on GPUs. They are
// free of TensorFlow, so that JAX can call them too (`jax.ffi`).
//
// Arguments, results and attributes are those of ../contract/operations.def;
// `activation` is an index into activations.def, and `epsilon` a double. On
// GPUs, the last result is scratch memory, whose size ../cuda/scratch.h
// computes. If a handler allocated it, command buffers (CUDA graphs), which run
// many times, would use it after it is freed.

#include <functional>
#include <string>

#include "../cpu/kernels.h"
#include "../cpu/thread_pool.h"
#include "../cuda/driver.h"
#include "call.h"
#include "xla/ffi/api/ffi.h"

// JAX registers the handlers itself, and has no such function.
#ifdef KERAS_NORMS_UNREGISTERED
#define KERAS_NORMS_REGISTER(target, platform, symbol)
#else
#define KERAS_NORMS_REGISTER(target, platform, symbol) \
  XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), #target, platform, symbol);
// Declared here, because TensorFlow's header for it includes all of XLA.
namespace xla::ffi {
const XLA_FFI_Api* GetXlaFfiApi();
}
#endif

namespace keras_norms {
namespace {

// Where operations run, as in ../tensorflow/device_traits.h. Run returns the
// error, or an empty string.
class OnCpu {
 public:
  explicit OnCpu(ffi::ThreadPool threads)
      : pool_(static_cast<int>(threads.num_threads()) + 1,
              [threads](std::function<void()> task) mutable {
                threads.Schedule(std::move(task));
              }) {}

  template <class Arguments>
  std::string Run(const Arguments& arguments, const Call&) {
    keras_norms::Run(BestKernels(), arguments, pool_);
    return "";
  }

 private:
  ThreadPool pool_;
};

class OnGpu {
 public:
  explicit OnGpu(void* stream) : stream_(stream) {}

  template <class Arguments>
  std::string Run(const Arguments& arguments, const Call& call) {
    Stream stream(stream_, [&call](size_t bytes) {
      return call.Scratch<Arguments>(bytes);
    });
    return RunOnDevice(arguments, stream);
  }

 private:
  void* stream_;
};

template <class Arguments, class On>
ffi::Error Handle(const Call& call, On on) {
  Arguments arguments;
  const std::string error = call.Read(&arguments);
  if (!error.empty()) return ffi::Error::InvalidArgument(error);
  const std::string failure = on.Run(arguments, call);
  if (failure.empty()) return ffi::Error::Success();
  return ffi::Error::Internal("keras_norms: " + failure);
}

template <class Arguments>
ffi::Error HandleOnCpu(ffi::ThreadPool threads, ffi::RemainingArgs arguments,
                       ffi::RemainingRets results, ffi::Dictionary attributes) {
  return Handle<Arguments>(Call(arguments, results, attributes),
                           OnCpu(threads));
}

template <class Arguments>
ffi::Error HandleOnGpu(void* stream, ffi::RemainingArgs arguments,
                       ffi::RemainingRets results, ffi::Dictionary attributes) {
  return Handle<Arguments>(Call(arguments, results, attributes),
                           OnGpu(stream));
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
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

}  // namespace
}  // namespace keras_norms

// The symbols are visible also in a library that hides all others, for callers
// that register the handlers themselves. Those for GPUs end in _cuda.
#define KERAS_NORMS_HANDLER(On, Name, target, symbol, platform, ...)     \
  _Pragma("GCC visibility push(default)") XLA_FFI_DEFINE_HANDLER_SYMBOL( \
      symbol, (keras_norms::HandleOn##On<keras_norms::Name##Arguments>), \
      keras_norms::BindingOn##On(), {__VA_ARGS__});                      \
  _Pragma("GCC visibility pop") KERAS_NORMS_REGISTER(target, platform, symbol)

#define KERAS_NORMS_OPERATION(Name, name, ...)                           \
  KERAS_NORMS_HANDLER(Cpu, Name, keras_norms_##name, keras_norms_##name, \
                      "Host")
#include "../contract/operations.def"

#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, name, ...)                  \
  KERAS_NORMS_HANDLER(Gpu, Name, keras_norms_##name,            \
                      keras_norms_##name##_cuda, "CUDA",        \
                      xla::ffi::Traits::kCmdBufferCompatible)
#include "../contract/operations.def"
