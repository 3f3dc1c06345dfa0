// What a handler is called with: buffers and attributes, checked.

#ifndef KERAS_NORMS_XLA_CALL_H_
#define KERAS_NORMS_XLA_CALL_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "../cpu/kernels.h"
#include "xla/ffi/api/ffi.h"

namespace keras_norms {
namespace {

namespace ffi = xla::ffi;

// How many elements an argument has: as many as x, as positions, ...
enum class Size {
  kX,
  kMask,
  kTable,
  kTableOrNone,
  kChannelsOrNone,
  kGroups,
};

class Call {
 public:
  Call(ffi::RemainingArgs arguments, ffi::RemainingRets results,
       ffi::Dictionary attributes)
      : arguments_(arguments), results_(results), attributes_(attributes) {}

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

  View view() const {
    const auto sizes = argument(0).dimensions();
    const std::vector<int64_t> all(sizes.begin(), sizes.end());
    return ViewOf(all.data(), static_cast<int>(all.size()),
                  static_cast<int>(number("axis")),
                  attributes_.contains("examples") ? number("examples") : 1);
  }

  // What does not fit, or nothing: of no argument may more be read than it
  // has.
  std::string Wrong(std::initializer_list<Size> wanted) const {
    if (arguments_.size() != wanted.size()) {
      return "other arguments than it takes";
    }
    const int64_t rank = argument(0).dimensions().size();
    if (number("axis") < 1 || number("axis") >= rank) {
      return "axis must be one of x's own. Received: " +
             std::to_string(number("axis"));
    }
    const View all = view();
    int64_t groups = 1;
    if (attributes_.contains("groups")) groups = number("groups");
    if (groups < 1 || all.channels % groups != 0) {
      return "groups must divide the channels. Received: groups=" +
             std::to_string(groups) + " for " + std::to_string(all.channels);
    }
    const int64_t table = all.rows * all.channels;
    size_t i = 0;
    for (const Size size : wanted) {
      const int64_t sizes[] = {table * all.positions(),
                               all.rows * all.positions(),
                               table,
                               table,
                               all.channels,
                               all.rows * groups};
      const int64_t found = argument(i).element_count();
      const bool none =
          found == 0 && (size == Size::kMask || size == Size::kTableOrNone ||
                         size == Size::kChannelsOrNone);
      if (!none && found != sizes[static_cast<int>(size)]) {
        return "argument " + std::to_string(i) + " must have " +
               std::to_string(sizes[static_cast<int>(size)]) +
               " elements. Received: " + std::to_string(found);
      }
      ++i;
    }
    return "";
  }

  Activation activation() const {
    return static_cast<Activation>(number("activation"));
  }

  // The arguments from `first` on: mask, center, scale, shift.
  Line line(size_t first) const {
    return {{data(first + 1), data(first + 2), data(first + 3)},
            activation(),
            static_cast<const Truth*>(given(first))};
  }

  Groups groups(size_t first) const {
    return {number("groups"), *attributes_.get<double>("epsilon"), activation(),
            given(first), given(first + 1)};
  }

 private:
  ffi::RemainingArgs arguments_;
  ffi::RemainingRets results_;
  ffi::Dictionary attributes_;
};

}  // namespace
}  // namespace keras_norms

#endif  // KERAS_NORMS_XLA_CALL_H_
