// The kernels for one instruction set: compiled once for each, with
// KERAS_NORMS_ISA the name of the function that gives their table.

#include "group_norm.h"
#include "kernels.h"

namespace {

using keras_norms::Kernels;
using keras_norms::Type;

// Calls work(T(), S()) with the types of x and of tables.
template <class F>
void Typed(Type type, const F& work) {
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

// The calling thread.
class Alone : public Workers {
 public:
  int threads() const override { return 1; }
  void Run(int64_t items, void (*work)(void*, int64_t),
           void* context) const override {
    for (int64_t i = 0; i < items; ++i) work(context, i);
  }
};

// Less than this is done before another thread has woken.
constexpr int64_t kWorthWaking = 1 << 18;

const Workers& Crew(const keras_norms::CommonArguments& arguments,
                    const Workers& workers) {
  static const Alone alone;
  const View& view = arguments.view;
  int64_t bytes = 0;
  Typed(arguments.type, [&](auto t, auto) { bytes = sizeof(t); });
  bytes *= view.rows * view.positions() * view.channels;
  return bytes < kWorthWaking ? static_cast<const Workers&>(alone) : workers;
}

// Moments<T, S>(arguments, workers), and so on, for the types of x.
#define KERAS_NORMS_OPERATION(Name, name, ...)                             \
  void Typed##Name(const keras_norms::Name##Arguments& arguments,          \
                   const Workers& workers) {                               \
    Typed(arguments.type, [&](auto t, auto s) {                            \
      Name<decltype(t), decltype(s)>(arguments, Crew(arguments, workers)); \
    });                                                                    \
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
