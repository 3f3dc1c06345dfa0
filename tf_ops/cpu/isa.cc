// The kernels for one instruction set: compiled once for each, with
// KERAS_NORMS_ISA the name of the function that gives their table.

#include "group_norm.h"
#include "kernels.h"

namespace {

using keras_norms::GroupMoments;
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

const Workers& Crew(const View& view, Type type, const Workers& workers) {
  static const Alone alone;
  int64_t bytes = 0;
  Typed(type, [&](auto t, auto) { bytes = sizeof(t); });
  bytes *= view.rows * view.positions() * view.channels;
  return bytes < kWorthWaking ? static_cast<const Workers&>(alone) : workers;
}

template <class T>
const T* As(const void* data, T) {
  return static_cast<const T*>(data);
}

template <class T>
T* As(void* data, T) {
  return static_cast<T*>(data);
}

void TypedMoments(const View& view, Type type, const void* x,
                  const Truth* mask, void* count, void* mean, void* variance,
                  void* residual, const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    Moments(view, As(x, t), mask, As(count, s), As(mean, s), As(variance, s),
            As(residual, s), Crew(view, type, workers));
  });
}

void TypedApply(const View& view, Type type, const void* x, const Line& line,
                void* y, const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    Apply<decltype(t), decltype(s)>(view, As(x, t), line, As(y, t),
                                    Crew(view, type, workers));
  });
}

void TypedGradientSums(const View& view, Type type, const void* x,
                       const void* dy, const Line& line, void* sum,
                       void* product, const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    GradientSums(view, As(x, t), As(dy, t), line, As(sum, s), As(product, s),
                 Crew(view, type, workers));
  });
}

void TypedGradientCombine(const View& view, Type type, const void* x,
                          const void* dy, const Line& line, const void* b,
                          const void* d, void* dx, const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    GradientCombine(view, As(x, t), As(dy, t), line, As(b, s), As(d, s),
                    As(dx, t), Crew(view, type, workers));
  });
}

template <class S>
Kept<S> KeptOf(const GroupMoments& moments, S s) {
  return {As(moments.mean, s), As(moments.residual, s),
          As(moments.inverse, s)};
}

void TypedGroupNorm(const View& view, Type type, const void* x,
                    const Groups& groups, void* y, const GroupMoments& moments,
                    const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    GroupNorm(view, As(x, t), groups, As(y, t), KeptOf(moments, s),
              Crew(view, type, workers));
  });
}

void TypedGroupNormGradient(const View& view, Type type, const void* x,
                            const void* dy, const Groups& groups,
                            const GroupMoments& moments, void* dx,
                            void* d_gamma, void* d_beta,
                            const Workers& workers) {
  Typed(type, [&](auto t, auto s) {
    GroupNormGradient(view, As(x, t), As(dy, t), groups, KeptOf(moments, s),
                      As(dx, t), As(d_gamma, s), As(d_beta, s),
                      Crew(view, type, workers));
  });
}

}  // namespace

#define KERAS_NORMS_TEXT_(name) #name
#define KERAS_NORMS_TEXT(name) KERAS_NORMS_TEXT_(name)

namespace keras_norms {

const Kernels& KERAS_NORMS_ISA() {
  static const Kernels kernels = {
      KERAS_NORMS_TEXT(KERAS_NORMS_ISA),
      TypedMoments,
      TypedApply,
      TypedGradientSums,
      TypedGradientCombine,
      TypedGroupNorm,
      TypedGroupNormGradient,
  };
  return kernels;
}

}  // namespace keras_norms
