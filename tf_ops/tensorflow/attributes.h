// Attributes of ops, as the kernels take them.

#ifndef KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_
#define KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_

#include <iterator>
#include <locale>
#include <sstream>
#include <string>

#include "../cpu/kernels.h"
#include "tensorflow/core/framework/types.pb.h"

namespace keras_norms {

constexpr Type TypeOf(tensorflow::DataType type) {
  switch (type) {
    case tensorflow::DT_DOUBLE:
      return Type::kDouble;
    case tensorflow::DT_HALF:
      return Type::kHalf;
    case tensorflow::DT_BFLOAT16:
      return Type::kBfloat16;
    default:
      return Type::kFloat;
  }
}

inline bool ActivationNamed(const std::string& name, Activation* activation) {
  // In the order of the enumeration.
  const char* const names[] = {"identity", "relu",       "silu",    "gelu",
                               "gelu_tanh", "leaky_relu", "sigmoid", "tanh"};
  for (size_t i = 0; i < std::size(names); ++i) {
    if (name == names[i]) {
      *activation = static_cast<Activation>(i);
      return true;
    }
  }
  return false;
}

// Attributes hold floats, of which none is the 1e-3 that float64 layers are
// given: epsilon comes as text, written as in C whatever the user's language.
inline bool NumberOf(const std::string& digits, double* number) {
  std::istringstream text(digits);
  text.imbue(std::locale::classic());
  return (text >> *number) && text.eof();
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_TENSORFLOW_ATTRIBUTES_H_
