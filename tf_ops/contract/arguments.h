// The arguments of the operations, as the kernels for CPUs and for GPUs take
// them. Nothing of the standard library's templates is in it, because the
// kernels for CPUs are compiled once for each instruction set, and a linker
// keeps only one copy of a shared template.

#ifndef KERAS_NORMS_CONTRACT_ARGUMENTS_H_
#define KERAS_NORMS_CONTRACT_ARGUMENTS_H_

#include <cstdint>

#include "activations.h"

namespace keras_norms {

// The type of x. Statistics and coefficients are float, or double where x is.
enum class Type { kFloat, kDouble, kHalf, kBfloat16 };

// A byte of a mask: false where it is 0. Not every byte that stands for true is
// a 1, which is the only one that C++'s bool allows.
using MaskByte = unsigned char;

// x as [rows, outer, channels, inner]. A row is the examples that share
// statistics: one, some, or all. inner is 1 if the channels are last.
struct View {
  int64_t rows;
  int64_t outer;
  int64_t channels;
  int64_t inner;

  int64_t positions() const { return outer * inner; }
};

// The spatial axes of x if the channels are last, and a window of positions.
struct Spatial {
  // The sizes of x, and of the window. They are 1 for axes that x lacks.
  int64_t depth, height, width;
  int64_t window_depth, window_height, window_width;

  int64_t window_positions() const {
    return window_depth * window_height * window_width;
  }
};

// The arguments of every operation besides its tensors.
struct CommonArguments {
  View view;
  Type type;
  Activation activation;
  int64_t groups;
  double epsilon;
  Spatial spatial = {};  // of operations with a window
};

// MomentsArguments, ApplyArguments, ...: the common arguments, then a pointer
// for each tensor, inputs first. A pointer is null if the tensor is empty.
// clang-format off
#define KERAS_NORMS_OPERATION(Name, ...) \
  struct Name##Arguments : CommonArguments {
#define KERAS_NORMS_INPUT(name, extent) const void* name;
#define KERAS_NORMS_OUTPUT(name, extent) void* name;
#define KERAS_NORMS_END(Name) };
#include "operations.def"
// clang-format on

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_ARGUMENTS_H_
