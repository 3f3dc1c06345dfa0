// Pass 1: moments of chunks about a pivot near their mean, and their merge.

#ifndef KERAS_NORMS_CPU_MOMENTS_H_
#define KERAS_NORMS_CPU_MOMENTS_H_

#include "sums.h"
#include "traversal.h"

namespace {

// The pivot is the mean of 1 / kSample of a chunk's positions. It lies within
// sqrt(kSample) standard deviations of the chunk's mean, whatever the data.
constexpr int64_t kSample = 64;

// Moments of chunks or rows: count, means, and sums of squared deviations.
class MomentsPartials {
 public:
  MomentsPartials(int64_t slots, int64_t channels)
      : channels_(channels), data_(slots * Stride(channels)) {}
  double* count(int64_t slot) {
    return data_.get() + slot * Stride(channels_);
  }
  double* mean(int64_t slot) { return count(slot) + 1; }
  double* squares(int64_t slot) { return mean(slot) + channels_; }

 private:
  static int64_t Stride(int64_t channels) { return 1 + 2 * channels; }
  int64_t channels_;
  Buffer<double> data_;
};

// The pivot of one channel: its first value plus the mean difference of the
// sample from it. If all values are equal, it is exactly that value.
template <class T, class S>
class Pivot {
 public:
  explicit Pivot(int64_t positions) : sample_(CeilDiv(positions, kSample)) {}
  bool full() const { return taken_ == sample_; }
  void Add(const T* x) {
    const S value = Load<S>(x);
    if (taken_ == 0) first_ = value;
    sum_ += value - first_;
    ++taken_;
  }
  S value() const { return taken_ ? first_ + sum_ / S(taken_) : S(0); }

 private:
  int64_t sample_;
  int64_t taken_ = 0;
  S first_ = 0;
  S sum_ = 0;
};

// The pivots of all channels, if they are last and there is no mask.
template <class T, class S>
inline void PivotsChannelsLast(const T* x, int64_t positions, int64_t channels,
                               S* pivots) {
  const int64_t sample = CeilDiv(positions, kSample);
  ForEachVector<S>(channels, [&](auto vector, int64_t i) {
    using V = decltype(vector);
    const V first = Load<V>(x + i);
    V sum = V();
    for (int64_t p = 1; p < sample; ++p) {
      sum += Load<V>(x + p * channels + i) - first;
    }
    Store(first + sum * (S(1) / S(sample)), pivots + i);
  });
}

template <class T, class S>
inline void Pivots(const View& view, const Chunk& chunk,
                   const Traversal& traversal, const T* x,
                   const MaskByte* mask, S* pivots) {
  const bool channels_last = traversal.channels_last();
  if (channels_last && mask == nullptr) {
    PivotsChannelsLast(x + traversal.begin(0, 0), chunk.positions(),
                       view.channels, pivots);
    return;
  }
  const int64_t length =
      channels_last ? chunk.positions() : traversal.length();
  const int64_t stride = channels_last ? view.channels : 1;
  for (int64_t c = 0; c < view.channels; ++c) {
    Pivot<T, S> pivot(chunk.positions());
    for (int64_t s = 0; s < traversal.spans() && !pivot.full(); ++s) {
      const T* from = x + traversal.begin(c, s);
      const MaskByte* of_span = mask ? mask + traversal.position(s) : nullptr;
      for (int64_t i = 0; i < length && !pivot.full(); ++i) {
        if (of_span == nullptr || of_span[i]) pivot.Add(from + i * stride);
      }
    }
    pivots[c] = pivot.value();
  }
}

inline int64_t CountValid(const Chunk& chunk, const Traversal& traversal,
                          const MaskByte* mask) {
  if (mask == nullptr) return chunk.positions();
  int64_t count = 0;
  const int64_t length =
      traversal.channels_last() ? chunk.positions() : traversal.length();
  for (int64_t s = 0; s < traversal.spans(); ++s) {
    const MaskByte* of_span = mask + traversal.position(s);
    for (int64_t i = 0; i < length; ++i) count += of_span[i] != 0;
  }
  return count;
}

template <class T, class S>
inline void ChunkMoments(const View& view, const Chunk& chunk, const T* x,
                         const MaskByte* mask, MomentsPartials* partials,
                         int64_t slot) {
  const Traversal traversal(view, chunk, mask != nullptr);
  const int64_t channels = view.channels;
  const int64_t valid_count = CountValid(chunk, traversal, mask);
  double* mean = partials->mean(slot);
  double* squares = partials->squares(slot);
  *partials->count(slot) = valid_count;
  if (valid_count == 0) {
    for (int64_t c = 0; c < channels; ++c) mean[c] = squares[c] = 0;
    return;
  }
  Buffer<S> pivots(channels), expanded(traversal.width());
  Pivots(view, chunk, traversal, x, mask, pivots.get());
  ChannelSums<S>(
      traversal, mask, kPrefetchBytes / sizeof(T), mean, squares,
      [&](int64_t c) {
        return traversal.Expand(pivots.get(), c, expanded.get());
      },
      [&](auto run_count, const Runs& runs, const S* pivot,
          Sums<S>* sums) KERAS_NORMS_INLINE {
        ForEachVector<S>(
            runs.n, [&](auto vector, int64_t i) KERAS_NORMS_INLINE {
          using V = decltype(vector);
          const V about = Load<V>(pivot + i);
          V sum = V(), squares = V();
          for (int r = 0; r < run_count.value; ++r) {
            const T* from = x + runs.begin + r * runs.stride + i;
            __builtin_prefetch(from + runs.prefetch);
            V centered = Load<V>(from) - about;
            if (runs.mask) {
              centered = LoadMask<V>(runs, i) != 0 ? centered : V();
            }
            sum += centered;
            squares += centered * centered;
          }
          sums->Add(i, sum, squares);
        });
      });
  for (int64_t c = 0; c < channels; ++c) {
    const double centered_mean = mean[c] / valid_count;
    const double rest = squares[c] - mean[c] * centered_mean;
    mean[c] = pivots[c] + centered_mean;
    squares[c] = rest < 0 ? 0 : rest;
  }
}

// Merges slots [first, first + slots) into the first of them (Chan, Golub and
// LeVeque).
inline void Merge(MomentsPartials* partials, int64_t first, int64_t slots,
                  int64_t channels) {
  double count = 0;
  for (int64_t k = 0; k < slots; ++k) count += *partials->count(first + k);
  double* mean = partials->mean(first);
  double* squares = partials->squares(first);
  if (slots == 1 || count == 0) return;
  // Relative to a slot that is not empty, so that equal means stay exact.
  int64_t nonempty = 0;
  while (*partials->count(first + nonempty) == 0) ++nonempty;
  for (int64_t c = 0; c < channels; ++c) {
    const double about = partials->mean(first + nonempty)[c];
    double shift = 0;
    for (int64_t k = 0; k < slots; ++k) {
      const double n = *partials->count(first + k);
      if (n > 0) shift += n * (partials->mean(first + k)[c] - about);
    }
    const double merged = about + shift / count;
    double total = 0;
    for (int64_t k = 0; k < slots; ++k) {
      const double n = *partials->count(first + k);
      const double centered = partials->mean(first + k)[c] - merged;
      if (n > 0) {
        total += partials->squares(first + k)[c] + n * centered * centered;
      }
    }
    mean[c] = merged;
    squares[c] = total;
  }
  *partials->count(first) = count;
}

// Calls use(row, partials, slot) with the moments of each row.
template <class T, class S, class F>
inline void ForEachRowMoments(const View& view, const T* x,
                              const MaskByte* mask, const Workers& workers,
                              const F& use) {
  const Chunks chunks(view, sizeof(T));
  const int64_t row_chunks = chunks.row_chunks();
  if (chunks.by_rows(workers)) {
    ParallelFor(workers, view.rows, [&](int64_t row) {
      MomentsPartials partials(row_chunks, view.channels);
      for (int64_t k = 0; k < row_chunks; ++k) {
        ChunkMoments<T, S>(view, chunks.at(row, k), x, mask, &partials, k);
      }
      Merge(&partials, 0, row_chunks, view.channels);
      use(row, &partials, int64_t{0});
    });
    return;
  }
  MomentsPartials partials(view.rows * row_chunks, view.channels);
  ParallelFor(workers, view.rows * row_chunks, [&](int64_t i) {
    const Chunk chunk = chunks.at(i / row_chunks, i % row_chunks);
    ChunkMoments<T, S>(view, chunk, x, mask, &partials, i);
  });
  ParallelFor(workers, view.rows, [&](int64_t row) {
    Merge(&partials, row * row_chunks, row_chunks, view.channels);
    use(row, &partials, row * row_chunks);
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
  ForEachRowMoments<T, S>(
      arguments.view, static_cast<const T*>(arguments.x),
      static_cast<const MaskByte*>(arguments.mask), workers,
      [&](int64_t row, MomentsPartials* partials, int64_t slot) {
        const double n = *partials->count(slot);
        count[row] = S(n);
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t i = row * channels + c;
          const double exact = partials->mean(slot)[c];
          mean[i] = S(exact);
          residual[i] = S(exact - double(mean[i]));
          variance[i] = n > 0 ? S(partials->squares(slot)[c] / n) : S(0);
        }
      });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_MOMENTS_H_
