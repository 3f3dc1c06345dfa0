// Pass 1: moments of chunks, about a value near their mean, and their merge.

#ifndef KERAS_NORMS_CPU_MOMENTS_H_
#define KERAS_NORMS_CPU_MOMENTS_H_

#include "sums.h"
#include "walk.h"

namespace {

// The pivot is the mean of this share of a chunk's positions: within
// sqrt(64) deviations of the chunk's mean, whatever the data.
constexpr int64_t kSample = 64;

// Of a chunk or a row: [count, means, sums of squares about them].
class Parts {
 public:
  Parts(int64_t rows, int64_t channels)
      : channels_(channels), data_(rows * Stride(channels)) {}
  double* count(int64_t i) { return data_.get() + i * Stride(channels_); }
  double* mean(int64_t i) { return count(i) + 1; }
  double* squares(int64_t i) { return mean(i) + channels_; }

 private:
  static int64_t Stride(int64_t channels) { return 1 + 2 * channels; }
  int64_t channels_;
  Buffer<double> data_;
};

// A value of the chunk plus the mean difference of the sample from it: where
// all are equal, that value exactly. `stride` leads from one to the next.
template <class T, class S>
class Pivot {
 public:
  explicit Pivot(int64_t positions) : left_(UpTo(positions, kSample)) {}
  bool full() const { return taken_ == left_; }
  void Add(const T* x) {
    const S value = Load<S>(x);
    if (taken_ == 0) first_ = value;
    sum_ += value - first_;
    ++taken_;
  }
  S value() const { return taken_ ? first_ + sum_ / S(taken_) : S(0); }

 private:
  int64_t left_;
  int64_t taken_ = 0;
  S first_ = 0;
  S sum_ = 0;
};

// Pivots of all channels of a chunk; channels last, no mask.
template <class T, class S>
inline void PivotsLast(const T* x, int64_t positions, int64_t channels,
                       S* pivot) {
  const int64_t sample = UpTo(positions, kSample);
  EachVector<S>(channels, [&](auto lanes, int64_t i) {
    using V = decltype(lanes);
    const V first = Load<V>(x + i);
    V sum = V();
    for (int64_t p = 1; p < sample; ++p) {
      sum += Load<V>(x + p * channels + i) - first;
    }
    Store(first + sum * (S(1) / S(sample)), pivot + i);
  });
}

template <class T, class S>
inline void Pivots(const View& view, const Chunk& chunk, const Walk& walk,
                   const T* x, const MaskByte* mask, S* pivot) {
  if (walk.last() && mask == nullptr) {
    PivotsLast(x + walk.offset(0, 0), chunk.positions(), view.channels, pivot);
    return;
  }
  for (int64_t c = 0; c < view.channels; ++c) {
    Pivot<T, S> of(chunk.positions());
    const int64_t length = walk.last() ? chunk.positions() : walk.length();
    const int64_t stride = walk.last() ? view.channels : 1;
    for (int64_t s = 0; s < walk.spans() && !of.full(); ++s) {
      const T* from = x + walk.offset(c, s);
      const MaskByte* keep = mask ? mask + walk.position(s) : nullptr;
      for (int64_t i = 0; i < length && !of.full(); ++i) {
        if (keep == nullptr || keep[i]) of.Add(from + i * stride);
      }
    }
    pivot[c] = of.value();
  }
}

inline int64_t CountKept(const Chunk& chunk, const Walk& walk,
                         const MaskByte* mask) {
  if (mask == nullptr) return chunk.positions();
  int64_t count = 0;
  const int64_t length = walk.last() ? chunk.positions() : walk.length();
  for (int64_t s = 0; s < walk.spans(); ++s) {
    const MaskByte* keep = mask + walk.position(s);
    for (int64_t i = 0; i < length; ++i) count += keep[i] != 0;
  }
  return count;
}

template <class T, class S>
inline void ChunkMoments(const View& view, const Chunk& chunk, const T* x,
                         const MaskByte* mask, Parts* parts, int64_t slot) {
  const Walk walk(view, chunk, mask != nullptr);
  const int64_t channels = view.channels;
  const int64_t count = CountKept(chunk, walk, mask);
  double* mean = parts->mean(slot);
  double* squares = parts->squares(slot);
  *parts->count(slot) = count;
  if (count == 0) {
    for (int64_t c = 0; c < channels; ++c) mean[c] = squares[c] = 0;
    return;
  }
  Buffer<S> pivots(channels), laid(walk.width());
  Pivots(view, chunk, walk, x, mask, pivots.get());
  ChannelSums<S>(
      walk, mask, kAheadBytes / sizeof(T), mean, squares,
      [&](int64_t c) { return walk.Lay(pivots.get(), c, laid.get()); },
      [&](auto count, const Runs& runs, const S* pivot,
          Sums<S>* sums) KERAS_NORMS_INLINE {
        EachVector<S>(runs.n, [&](auto lanes, int64_t i) KERAS_NORMS_INLINE {
          using V = decltype(lanes);
          const V about = Load<V>(pivot + i);
          V sum = V(), squares = V();
          for (int r = 0; r < count.value; ++r) {
            const T* from = x + runs.at + r * runs.apart + i;
            __builtin_prefetch(from + runs.ahead);
            V apart = Load<V>(from) - about;
            if (runs.keep) apart = Keeps<V>(runs, i) != 0 ? apart : V();
            sum += apart;
            squares += apart * apart;
          }
          sums->Add(i, sum, squares);
        });
      });
  for (int64_t c = 0; c < channels; ++c) {
    const double offset = mean[c] / count;
    const double left = squares[c] - mean[c] * offset;
    mean[c] = pivots[c] + offset;
    squares[c] = left < 0 ? 0 : left;
  }
}

// The union of slots first..last, into slot first (Chan, Golub and LeVeque).
inline void Merge(Parts* parts, int64_t first, int64_t slots,
                  int64_t channels) {
  double count = 0;
  for (int64_t k = 0; k < slots; ++k) count += *parts->count(first + k);
  double* mean = parts->mean(first);
  double* squares = parts->squares(first);
  if (slots == 1 || count == 0) return;
  // From a slot with something in it, so that equal means stay exact.
  int64_t some = 0;
  while (*parts->count(first + some) == 0) ++some;
  for (int64_t c = 0; c < channels; ++c) {
    const double about = parts->mean(first + some)[c];
    double shift = 0;
    for (int64_t k = 0; k < slots; ++k) {
      const double n = *parts->count(first + k);
      if (n > 0) shift += n * (parts->mean(first + k)[c] - about);
    }
    const double merged = about + shift / count;
    double total = 0;
    for (int64_t k = 0; k < slots; ++k) {
      const double n = *parts->count(first + k);
      const double apart = parts->mean(first + k)[c] - merged;
      if (n > 0) total += parts->squares(first + k)[c] + n * apart * apart;
    }
    mean[c] = merged;
    squares[c] = total;
  }
  *parts->count(first) = count;
}

// Gives each row's parts, in a slot of `Parts`, to `use`.
template <class T, class S, class F>
inline void EachRowsMoments(const View& view, const T* x, const MaskByte* mask,
                            const Workers& workers, const F& use) {
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  if (chunks.by_rows(workers)) {
    Parallel(workers, view.rows, [&](int64_t row) {
      Parts parts(count, view.channels);
      for (int64_t k = 0; k < count; ++k) {
        ChunkMoments<T, S>(view, chunks.at(row, k), x, mask, &parts, k);
      }
      Merge(&parts, 0, count, view.channels);
      use(row, &parts, int64_t{0});
    });
    return;
  }
  Parts parts(view.rows * count, view.channels);
  Parallel(workers, view.rows * count, [&](int64_t i) {
    const Chunk chunk = chunks.at(i / count, i % count);
    ChunkMoments<T, S>(view, chunk, x, mask, &parts, i);
  });
  Parallel(workers, view.rows, [&](int64_t row) {
    Merge(&parts, row * count, count, view.channels);
    use(row, &parts, row * count);
  });
}

template <class T, class S>
void Moments(const keras_norms::MomentsArguments& arguments,
             const Workers& workers) {
  const int64_t channels = arguments.view.channels;
  S* const count = static_cast<S*>(arguments.count);
  S* const mean = static_cast<S*>(arguments.mean);
  S* const variance = static_cast<S*>(arguments.variance);
  S* const residual = static_cast<S*>(arguments.residual);
  EachRowsMoments<T, S>(
      arguments.view, static_cast<const T*>(arguments.x),
      static_cast<const MaskByte*>(arguments.mask), workers,
      [&](int64_t row, Parts* parts, int64_t slot) {
        const double n = *parts->count(slot);
        count[row] = S(n);
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t i = row * channels + c;
          const double exact = parts->mean(slot)[c];
          mean[i] = S(exact);
          residual[i] = S(exact - double(mean[i]));
          variance[i] = n > 0 ? S(parts->squares(slot)[c] / n) : S(0);
        }
      });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_MOMENTS_H_
