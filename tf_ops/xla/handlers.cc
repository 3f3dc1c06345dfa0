// The kernels as typed FFI handlers: for XLA on CPUs, whoever calls it. They
// hold nothing of TensorFlow, so that JAX can call the same (`jax.ffi`).
//
// Arguments, results and attributes are those of ../tensorflow/ops.cc, but
// for `activation`, a number as in ../cpu/kernels.h, and `epsilon`, a double.

#include <string>
#include <utility>
#include <vector>

#include "../cpu/kernels.h"
#include "../cpu/pool.h"
#include "xla/ffi/api/ffi.h"

// Declared where TensorFlow's headers for it would ask for all of XLA.
namespace xla::ffi {
const XLA_FFI_Api* GetXlaFfiApi();
}

namespace keras_norms {
namespace {

namespace ffi = xla::ffi;

class Call {
 public:
  Call(ffi::ThreadPool threads, ffi::RemainingArgs arguments,
       ffi::RemainingRets results, ffi::Dictionary attributes)
      : arguments_(arguments),
        results_(results),
        attributes_(attributes),
        pool_(static_cast<int>(threads.num_threads()) + 1,
              [threads](std::function<void()> task) mutable {
                threads.Schedule(std::move(task));
              }) {}

  const Pool& pool() const { return pool_; }

  ffi::AnyBuffer argument(size_t i) const {
    return *arguments_.get<ffi::AnyBuffer>(i);
  }
  const void* data(size_t i) const { return argument(i).untyped_data(); }
  // Null for an empty one.
  const void* given(size_t i) const {
    return argument(i).element_count() ? data(i) : nullptr;
  }
  void* result(size_t i) const {
    return (*results_.get<ffi::AnyBuffer>(i))->untyped_data();
  }
  int64_t number(const char* name) const {
    return *attributes_.get<int64_t>(name);
  }

  Type type() const {
    switch (argument(0).element_type()) {
      case ffi::DataType::F64:
        return Type::kDouble;
      case ffi::DataType::F16:
        return Type::kHalf;
      case ffi::DataType::BF16:
        return Type::kBfloat16;
      default:
        return Type::kFloat;
    }
  }

  View view(int64_t examples) const {
    const auto sizes = argument(0).dimensions();
    const std::vector<int64_t> all(sizes.begin(), sizes.end());
    return ViewOf(all.data(), static_cast<int>(all.size()),
                  static_cast<int>(number("axis")), examples);
  }
  View view() const { return view(number("examples")); }

  Activation activation() const {
    return static_cast<Activation>(number("activation"));
  }

  // The arguments from `first` on: mask, center, scale, shift.
  Line line(size_t first) const {
    return {{data(first + 1), data(first + 2), data(first + 3)},
            activation(),
            static_cast<const bool*>(given(first))};
  }

  Groups groups(size_t first) const {
    return {number("groups"), *attributes_.get<double>("epsilon"),
            activation(), given(first), given(first + 1)};
  }

 private:
  ffi::RemainingArgs arguments_;
  ffi::RemainingRets results_;
  ffi::Dictionary attributes_;
  Pool pool_;
};

void Moments(const Call& call) {
  BestKernels().moments(call.view(), call.type(), call.data(0),
                        static_cast<const bool*>(call.given(1)),
                        call.result(0), call.result(1), call.result(2),
                        call.result(3), call.pool());
}

void Apply(const Call& call) {
  BestKernels().apply(call.view(), call.type(), call.data(0), call.line(1),
                      call.result(0), call.pool());
}

void GradientSums(const Call& call) {
  BestKernels().gradient_sums(call.view(), call.type(), call.data(0),
                              call.data(1), call.line(2), call.result(0),
                              call.result(1), call.pool());
}

void GradientCombine(const Call& call) {
  BestKernels().gradient_combine(call.view(), call.type(), call.data(0),
                                 call.data(1), call.line(2), call.given(6),
                                 call.given(7), call.result(0), call.pool());
}

void GroupNorm(const Call& call) {
  BestKernels().group_norm(call.view(1), call.type(), call.data(0),
                           call.groups(1), call.result(0),
                           {call.result(1), call.result(2), call.result(3)},
                           call.pool());
}

void GroupNormGradient(const Call& call) {
  const auto kept = [&](size_t i) { return const_cast<void*>(call.data(i)); };
  BestKernels().group_norm_gradient(
      call.view(1), call.type(), call.data(0), call.data(1), call.groups(2),
      {kept(4), kept(5), kept(6)}, call.result(0), call.result(1),
      call.result(2), call.pool());
}

template <void (*run)(const Call&)>
ffi::Error Handle(ffi::ThreadPool threads, ffi::RemainingArgs arguments,
                  ffi::RemainingRets results, ffi::Dictionary attributes) {
  run(Call(threads, arguments, results, attributes));
  return ffi::Error::Success();
}

auto Binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attrs();
}

}  // namespace
}  // namespace keras_norms

// Visible by name for those who register it themselves.
#define KERAS_NORMS_HANDLER(symbol, run)                                   \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(symbol, keras_norms::Handle<keras_norms::run>, \
                                keras_norms::Binding());                   \
  XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), #symbol, "Host", symbol)

KERAS_NORMS_HANDLER(keras_norms_moments, Moments);
KERAS_NORMS_HANDLER(keras_norms_apply, Apply);
KERAS_NORMS_HANDLER(keras_norms_gradient_sums, GradientSums);
KERAS_NORMS_HANDLER(keras_norms_gradient_combine, GradientCombine);
KERAS_NORMS_HANDLER(keras_norms_group_norm, GroupNorm);
KERAS_NORMS_HANDLER(keras_norms_group_norm_gradient, GroupNormGradient);
