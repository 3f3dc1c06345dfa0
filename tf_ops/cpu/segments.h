// A segment is the contiguous channels of a group in one row: its sums, its
// moments and its affine parameters.

#ifndef KERAS_NORMS_CPU_SEGMENTS_H_
#define KERAS_NORMS_CPU_SEGMENTS_H_

#include <cmath>

#include "chunks.h"
#include "group_coefficients.h"
#include "vectors.h"

namespace {

// The least number of elements of a segment, for vectors to pay for themselves.
constexpr int64_t kMinSegment = 16;
// Vectors that are added before a flush to float64, see sums.h.
constexpr int64_t kFlushVectors = 64;
inline bool HasSegments(const View& view, int64_t groups) {
  return view.outer == 1 && view.inner == 1 &&
         view.channels / groups >= kMinSegment;
}

struct SegmentSums {
  double a;
  double b;
};

// The sum of the elements of a vector, in a tree: a loop would wait for each
// addition.
template <class S, int64_t bytes>
KERAS_NORMS_INLINE inline S AddLanes(Vector<S, bytes> vector) {
  if constexpr (bytes == sizeof(S)) {
    return vector[0];
  } else {
    struct Halves {
      Vector<S, bytes / 2> low, high;
    };
    const Halves halves = BitCast<Halves>(vector);
    return AddLanes<S, bytes / 2>(halves.low + halves.high);
  }
}

// Sums a pair of values over the elements of a segment. f(V(), i, &a, &b)
// computes those of the elements from i on.
template <class S, class F>
inline SegmentSums SumSegment(int64_t size, const F& f) {
  SegmentSums total = {0, 0};
  constexpr int64_t kStep = kFlushVectors * kVectorSize<S>;
  for (int64_t begin = 0; begin < size; begin += kStep) {
    Vector<S> vector_a = {}, vector_b = {};
    S last_a = 0, last_b = 0;
    ForEachVector<S>(
        Min(kStep, size - begin), [&](auto zero, int64_t i) KERAS_NORMS_INLINE {
          auto a = zero, b = zero;
          f(begin + i, &a, &b);
          if constexpr (sizeof(zero) == sizeof(S)) {
            last_a += a;
            last_b += b;
          } else {
            vector_a += a;
            vector_b += b;
          }
        });
    total.a += AddLanes<S, kVectorBytes>(vector_a) + last_a;
    total.b += AddLanes<S, kVectorBytes>(vector_b) + last_b;
  }
  return total;
}

// The moments of a segment, with the rounding error of the mean and 1 / stddev.
template <class S>
struct SegmentMoments {
  S mean;
  S variance;
  S residual;
  S rstd;
};

template <class S, class T>
inline SegmentMoments<S> MomentsOfSegment(const T* x, int64_t size,
                                          double epsilon) {
  // Relative to an element, so that a large mean costs no digits.
  const S pivot = Load<S>(x);
  const double share = 1.0 / size;
  const double distance =
      SumSegment<S>(size, [&](int64_t i, auto* a, auto*) KERAS_NORMS_INLINE {
        *a = Load<decltype(*a + 0)>(x + i) - pivot;
      }).a * share;
  const S mean = S(pivot + distance);
  const double residual = (pivot - double(mean)) + distance;
  const double square =
      SumSegment<S>(size, [&](int64_t i, auto* a, auto*) KERAS_NORMS_INLINE {
        const auto centered = Load<decltype(*a + 0)>(x + i) - mean;
        *a = centered * centered;
      }).a * share;
  const double unclamped = square - residual * residual;
  const double variance = unclamped > 0 ? unclamped : 0;
  return {mean, S(variance), S(residual), 1 / std::sqrt(S(variance + epsilon))};
}

// gamma and beta of all channels, also where the operation has none.
template <class S>
class SegmentAffine {
 public:
  SegmentAffine(const GroupNormParams& params, int64_t channels)
      : ones_(params.gamma ? 0 : channels), zeros_(params.beta ? 0 : channels) {
    if (!params.gamma) {
      for (int64_t c = 0; c < channels; ++c) ones_[c] = 1;
    }
    if (!params.beta) {
      for (int64_t c = 0; c < channels; ++c) zeros_[c] = 0;
    }
    gamma = params.gamma ? static_cast<const S*>(params.gamma) : ones_.get();
    beta = params.beta ? static_cast<const S*>(params.beta) : zeros_.get();
  }

  const S* gamma;
  const S* beta;

 private:
  Buffer<S> ones_;
  Buffer<S> zeros_;
};

// Whether stores of every segment can bypass the caches: these need aligned
// addresses.
template <class S, class T>
inline bool Streams(const T* to, int64_t size, bool streams) {
  constexpr int64_t kBytes = kVectorSize<S> * sizeof(T);
  return kStreams && streams && size * int64_t(sizeof(T)) % kBytes == 0 &&
         reinterpret_cast<uintptr_t>(to) % kBytes == 0;
}

}  // namespace

#endif  // KERAS_NORMS_CPU_SEGMENTS_H_
