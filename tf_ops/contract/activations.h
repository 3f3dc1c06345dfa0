// The activations as an enumeration. It includes nothing but the list, because
// NVRTC has no standard library.

#ifndef KERAS_NORMS_CONTRACT_ACTIVATIONS_H_
#define KERAS_NORMS_CONTRACT_ACTIVATIONS_H_

namespace keras_norms {

enum class Activation {
#define KERAS_NORMS_ACTIVATION(name, Formula, ...) k##Formula,
#include "activations.def"
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_ACTIVATIONS_H_
