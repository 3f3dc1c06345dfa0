// The kernels for one instruction set. This file is compiled once for each,
// with KERAS_NORMS_ISA as the name of the function that returns them.

#include "depthwise_gradient.h"
#include "group_norm.h"
#include "kernels.h"

namespace {

using keras_norms::Kernels;
using keras_norms::Type;

// Calls work(T(), S()) with the types of x and of statistics.
template <class F>
void WithTypes(Type type, const F& work) {
  switch (type) {
    case Type::kFloat:
      return work(float(), float());
    case Type::kDouble:
      return work(double(), double());
    case Type::kHalf:
      return work(Half(), float());
    case Type::kBfloat16:
      return work(Bfloat16(), float());
  }
}

// Calls Moments<T, S>(arguments, workers), and so on, for the type of x.
#define KERAS_NORMS_OPERATION(Name, name, ...)                        \
  void Typed##Name(const keras_norms::Name##Arguments& arguments,     \
                   const Workers& workers) {                          \
    WithTypes(arguments.type, [&](auto t, auto s) {                   \
      Name<decltype(t), decltype(s)>(arguments, workers);             \
    });                                                               \
  }
#include "../contract/operations.def"

}  // namespace

#define KERAS_NORMS_TEXT_(name) #name
#define KERAS_NORMS_TEXT(name) KERAS_NORMS_TEXT_(name)

namespace keras_norms {

const Kernels& KERAS_NORMS_ISA() {
  static const Kernels kernels = {
      KERAS_NORMS_TEXT(KERAS_NORMS_ISA),
#define KERAS_NORMS_OPERATION(Name, ...) Typed##Name,
#include "../contract/operations.def"
  };
  return kernels;
}

}  // namespace keras_norms
