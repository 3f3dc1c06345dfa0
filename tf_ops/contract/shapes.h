// The shapes of tensors: how x is viewed, and which tensors go with it.

#ifndef KERAS_NORMS_CONTRACT_SHAPES_H_
#define KERAS_NORMS_CONTRACT_SHAPES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operations.h"

namespace keras_norms {

// The sizes of a tensor. A size that is not known before the operation runs is
// kUnknown.
using Sizes = std::vector<int64_t>;
constexpr int64_t kUnknown = -1;
// The sizes of a tensor, or no value if its rank is unknown.
using Shape = std::optional<Sizes>;

struct Attributes {
  int64_t axis = 1;
  int64_t examples = 1;
  int64_t groups = 1;
  double epsilon = 0;
  int64_t window = 1;
  Activation activation = Activation::kIdentity;
};

inline std::string Describe(const Sizes& sizes) {
  std::string text;
  for (const int64_t size : sizes) {
    if (!text.empty()) text += ",";
    text += size == kUnknown ? "?" : std::to_string(size);
  }
  return "[" + text + "]";
}

// The number of elements, or kUnknown if a size is unknown.
inline int64_t ElementsOf(const Sizes& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (size == kUnknown) return kUnknown;
    count *= size;
  }
  return count;
}

// The number of rows. A row has `examples` consecutive examples, or all
// examples if `examples` is negative. If it does not divide the batch, each
// example is a row.
inline int64_t RowsOf(int64_t batch, int64_t examples) {
  if (examples < 0) return 1;
  if (examples < 2 || batch == kUnknown) return examples < 2 ? batch : kUnknown;
  return batch % examples == 0 ? batch / examples : batch;
}

// The view of x. All sizes must be known.
inline View ViewOf(const Sizes& sizes, int64_t axis, int64_t examples) {
  const int64_t batch = sizes[0], rows = RowsOf(batch, examples);
  const int64_t row_examples = examples < 0    ? batch
                               : rows == batch ? 1
                                               : examples;
  View view = {rows, row_examples, sizes[axis], 1};
  for (int64_t i = 1; i < axis; ++i) view.outer *= sizes[i];
  for (size_t i = axis + 1; i < sizes.size(); ++i) view.inner *= sizes[i];
  return view;
}

// The number of positions in the window of an operation.
inline int64_t WindowPositions(size_t rank, int64_t window) {
  int64_t positions = 1;
  for (size_t axis = 1; axis + 1 < rank; ++axis) positions *= window;
  return positions;
}

// The spatial axes of x, of rank 5 or less, with the channels last.
inline Spatial SpatialOf(const Sizes& sizes, int64_t window) {
  Spatial spatial = {1, 1, 1, 1, 1, 1};
  int64_t* const size[] = {&spatial.depth, &spatial.height, &spatial.width};
  int64_t* const extent[] = {&spatial.window_depth, &spatial.window_height,
                             &spatial.window_width};
  const int missing = 5 - static_cast<int>(sizes.size());
  for (int i = missing; i < 3; ++i) {
    *size[i] = sizes[1 + i - missing];
    *extent[i] = window;
  }
  return spatial;
}

// The sizes of a tensor with this extent if x has the sizes `x`. A mask may
// also have another shape with the same number of elements.
inline Sizes SizesOf(Extent extent, const Sizes& x,
                     const Attributes& attributes) {
  const int64_t rows = RowsOf(x[0], attributes.examples);
  const int64_t channels = x[attributes.axis];
  switch (extent) {
    case Extent::kLikeX:
      return x;
    case Extent::kMask: {
      Sizes sizes = x;
      sizes[attributes.axis] = 1;
      return sizes;
    }
    case Extent::kRows:
      return {rows};
    case Extent::kRowsChannels:
    case Extent::kRowsChannelsOrEmpty:
      return {rows, channels};
    case Extent::kRowsGroups:
      return {rows, attributes.groups};
    case Extent::kChannels:
    case Extent::kChannelsOrEmpty:
      return {channels};
    case Extent::kWindowChannels:
      return {WindowPositions(x.size(), attributes.window), channels};
  }
  return {};
}

inline bool Compatible(const Sizes& a, const Sizes& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const bool known = a[i] != kUnknown && b[i] != kUnknown;
    if (known && a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CONTRACT_SHAPES_H_
