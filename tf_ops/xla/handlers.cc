// The kernels as typed FFI handlers: for XLA on CPUs and on GPUs, whoever calls
// it. They hold nothing of TensorFlow, so that JAX can call the same
// (`jax.ffi`).
//
// Arguments, results and attributes are those of ../tensorflow/ops.cc, but
// for `activation`, a number as in ../cpu/kernels.h, and `epsilon`, a double.

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

// Where kernels run, as in ../tensorflow/places.h: what a handler asks XLA for,
// and how it runs one. What went wrong, or nothing.
class OnCpu {
 public:
  using Table = Kernels;

  explicit OnCpu(ffi::ThreadPool threads)
      : pool_(static_cast<int>(threads.num_threads()) + 1,
              [threads](std::function<void()> task) mutable {
                threads.Schedule(std::move(task));
              }) {}

  template <class Kernel, class... Arguments>
  std::string Run(Kernel Kernels::* kernel, const Arguments&... arguments) {
    (BestKernels().*kernel)(arguments..., pool_);
    return "";
  }

 private:
  Pool pool_;
};

class OnGpu {
 public:
  using Table = DeviceKernels;

  OnGpu(void* stream, ffi::ScratchAllocator* scratch)
      : stream_(stream, [scratch](size_t bytes) {
          // XLA refuses to promise more than 16, and gives more.
          return scratch->Allocate(bytes, 16).value_or(nullptr);
        }) {}

  template <class Kernel, class... Arguments>
  std::string Run(Kernel DeviceKernels::* kernel,
                  const Arguments&... arguments) {
    return (OnDevice().*kernel)(arguments..., stream_);
  }

 private:
  Stream stream_;
};

struct Moments {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    const auto* const mask = static_cast<const Truth*>(call.given(1));
    return on.Run(&On::Table::moments, call.view(), call.type(), call.data(0),
                  mask, call.result(0), call.result(1), call.result(2),
                  call.result(3));
  }
};

struct Apply {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    return on.Run(&On::Table::apply, call.view(), call.type(), call.data(0),
                  call.line(1), call.result(0));
  }
};

struct GradientSums {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    return on.Run(&On::Table::gradient_sums, call.view(), call.type(),
                  call.data(0), call.data(1), call.line(2), call.result(0),
                  call.result(1));
  }
};

struct GradientCombine {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    return on.Run(&On::Table::gradient_combine, call.view(), call.type(),
                  call.data(0), call.data(1), call.line(2), call.given(6),
                  call.given(7), call.result(0));
  }
};

struct GroupNorm {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    const GroupMoments kept = {call.result(1), call.result(2), call.result(3)};
    return on.Run(&On::Table::group_norm, call.view(), call.type(),
                  call.data(0), call.groups(1), call.result(0), kept);
  }
};

struct GroupNormGradient {
  template <class On>
  static std::string Run(const Call& call, On& on) {
    const auto of = [&](size_t i) { return const_cast<void*>(call.data(i)); };
    const GroupMoments kept = {of(4), of(5), of(6)};
    return on.Run(&On::Table::group_norm_gradient, call.view(), call.type(),
                  call.data(0), call.data(1), call.groups(2), kept,
                  call.result(0), call.result(1), call.result(2));
  }
};

template <class Kernel, Size... sizes, class On>
ffi::Error Handle(const Call& call, On on) {
  const std::string wrong = call.Wrong({sizes...});
  if (!wrong.empty()) return ffi::Error::InvalidArgument(wrong);
  const std::string failed = Kernel::Run(call, on);
  if (failed.empty()) return ffi::Error::Success();
  return ffi::Error::Internal("keras_norms: " + failed);
}

template <class Kernel, Size... sizes>
ffi::Error HandleOnCpu(ffi::ThreadPool threads, ffi::RemainingArgs arguments,
                       ffi::RemainingRets results, ffi::Dictionary attributes) {
  return Handle<Kernel, sizes...>(Call(arguments, results, attributes),
                                  OnCpu(threads));
}

template <class Kernel, Size... sizes>
ffi::Error HandleOnGpu(void* stream, ffi::ScratchAllocator scratch,
                       ffi::RemainingArgs arguments, ffi::RemainingRets results,
                       ffi::Dictionary attributes) {
  return Handle<Kernel, sizes...>(Call(arguments, results, attributes),
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
#define KERAS_NORMS_HANDLER(symbol, ...)                           \
  KERAS_NORMS_HANDLER_ON(Cpu, symbol, symbol, "Host", __VA_ARGS__) \
  KERAS_NORMS_HANDLER_ON(Gpu, symbol, symbol##_cuda, "CUDA", __VA_ARGS__)

#define KERAS_NORMS_HANDLER_ON(On, target, symbol, platform, ...)        \
  _Pragma("GCC visibility push(default)") XLA_FFI_DEFINE_HANDLER_SYMBOL( \
      symbol, (keras_norms::HandleOn##On<__VA_ARGS__>),                  \
      keras_norms::BindingOn##On());                                     \
  _Pragma("GCC visibility pop") KERAS_NORMS_REGISTER(target, platform, symbol)

using keras_norms::Size;

KERAS_NORMS_HANDLER(keras_norms_moments, keras_norms::Moments, Size::kX,
                    Size::kMask)
KERAS_NORMS_HANDLER(keras_norms_apply, keras_norms::Apply, Size::kX,
                    Size::kMask, Size::kTable, Size::kTable, Size::kTable)
KERAS_NORMS_HANDLER(keras_norms_gradient_sums, keras_norms::GradientSums,
                    Size::kX, Size::kX, Size::kMask, Size::kTable, Size::kTable,
                    Size::kTable)
KERAS_NORMS_HANDLER(keras_norms_gradient_combine, keras_norms::GradientCombine,
                    Size::kX, Size::kX, Size::kMask, Size::kTable, Size::kTable,
                    Size::kTable, Size::kTableOrNone, Size::kTableOrNone)
KERAS_NORMS_HANDLER(keras_norms_group_norm, keras_norms::GroupNorm, Size::kX,
                    Size::kChannelsOrNone, Size::kChannelsOrNone)
KERAS_NORMS_HANDLER(keras_norms_group_norm_gradient,
                    keras_norms::GroupNormGradient, Size::kX, Size::kX,
                    Size::kChannelsOrNone, Size::kChannelsOrNone, Size::kGroups,
                    Size::kGroups, Size::kGroups)
