// Passes 3 and 4: with g = dy f'((x - center) scale + shift),
// sums of g and of g (x - center), and dx = g scale + (x - center) b + d.

#ifndef KERAS_NORMS_CPU_GRADIENT_H_
#define KERAS_NORMS_CPU_GRADIENT_H_

#include "apply.h"
#include "sums.h"

namespace {

// [sum of g, sum of g (x - center)], float64, by channel.
template <class T, class S>
inline void ChunkSums(const View& view, const Chunk& chunk, const T* x,
                      const T* dy, const Row<S>& row, Activation function,
                      const MaskByte* mask, double* sum, double* product) {
  const Walk walk(view, chunk, mask != nullptr);
  Laid<S> laid(walk);
  WithFunction(function, [&](auto f) {
    ChannelSums<S>(
        walk, mask, kAheadBytes / 2 / sizeof(T), sum, product,
        [&](int64_t c) { return laid.For(row, c); },
        [&](auto count, const Runs& runs, const Row<S>& line,
            Sums<S>* sums) KERAS_NORMS_INLINE {
          EachVector<S>(runs.n, [&](auto lanes, int64_t i) KERAS_NORMS_INLINE {
            using V = decltype(lanes);
            const Entries<V> entries = EntriesOf<V>(line, i);
            V sum = V(), product = V();
            for (int r = 0; r < count.value; ++r) {
              const int64_t at = runs.at + r * runs.apart + i;
              __builtin_prefetch(x + at + runs.ahead);
              __builtin_prefetch(dy + at + runs.ahead);
              const V apart = LoadKept<V>(x + at, runs, i) - entries.center;
              const V g = f.Gradient(entries.Linear(apart), Load<V>(dy + at));
              sum += g;
              product += g * apart;
            }
            sums->Add(i, sum, product);
          });
        });
  });
}

template <class T, class S>
inline void ChunkCombine(const View& view, const Chunk& chunk, const T* x,
                         const T* dy, const Row<S>& row, Activation function,
                         const MaskByte* mask, T* dx, bool streams) {
  const Walk walk(view, chunk, mask != nullptr);
  streams = streams && walk.aligned(dx);
  const bool through = row.b != nullptr;
  WithFunction(function, [&](auto f) {
    EachPiece(walk, row, mask, kAheadBytes / 2 / sizeof(T),
              [&](auto lanes, auto count, const Runs& runs, const Row<S>& line,
                  int64_t i) KERAS_NORMS_INLINE {
      using V = decltype(lanes);
      const Entries<V> entries = EntriesOf<V>(line, i);
      const V b = through ? Load<V>(line.b + i) : V();
      const V d = through ? Load<V>(line.d + i) : V();
      for (int r = 0; r < count.value; ++r) {
        const int64_t at = runs.at + r * runs.apart + i;
        Prefetch(x + at + runs.ahead, streams);
        Prefetch(dy + at + runs.ahead, streams);
        const V apart = LoadKept<V>(x + at, runs, i) - entries.center;
        const V g = f.Gradient(entries.Linear(apart), Load<V>(dy + at));
        V rest = V();
        if (through) rest = apart * b + d;
        if (runs.keep) rest = Keeps<V>(runs, i) != 0 ? rest : V();
        Put(g * entries.scale + rest, dx + at, streams);
      }
    });
  });
  if (streams) EndStreams();
}

// Sums of each row in two float64 tables, given to `use`.
template <class T, class S, class F, class R>
inline void EachRowsSums(const View& view, const T* x, const T* dy,
                         Activation function, const MaskByte* mask,
                         const Workers& workers, const R& row_of,
                         const F& use) {
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count(), channels = view.channels;
  const auto merge = [channels](double* parts, int64_t slots) {
    for (int64_t k = 1; k < slots; ++k) {
      const double* part = parts + k * 2 * channels;
      for (int64_t c = 0; c < 2 * channels; ++c) parts[c] += part[c];
    }
  };
  const auto add = [&](int64_t row, int64_t k, double* part) {
    auto tables = row_of(row);
    ChunkSums<T, S>(view, chunks.at(row, k), x, dy, tables.row(), function,
                    mask, part, part + channels);
  };
  if (chunks.by_rows(workers)) {
    Parallel(workers, view.rows, [&](int64_t row) {
      Buffer<double> parts(count * 2 * channels);
      for (int64_t k = 0; k < count; ++k) {
        add(row, k, parts.get() + k * 2 * channels);
      }
      merge(parts.get(), count);
      use(row, parts.get(), parts.get() + channels);
    });
    return;
  }
  Buffer<double> parts(view.rows * count * 2 * channels);
  Parallel(workers, view.rows * count, [&](int64_t i) {
    add(i / count, i % count, parts.get() + i * 2 * channels);
  });
  Parallel(workers, view.rows, [&](int64_t row) {
    double* part = parts.get() + row * count * 2 * channels;
    merge(part, count);
    use(row, part, part + channels);
  });
}

template <class T, class S>
void GradientSums(const keras_norms::GradientSumsArguments& arguments,
                  const Workers& workers) {
  const int64_t channels = arguments.view.channels;
  S* const sum = static_cast<S*>(arguments.sum);
  S* const product = static_cast<S*>(arguments.product);
  EachRowsSums<T, S>(
      arguments.view, static_cast<const T*>(arguments.x),
      static_cast<const T*>(arguments.dy), arguments.activation,
      static_cast<const MaskByte*>(arguments.mask), workers,
      [&](int64_t row) { return RowOf<S>(arguments, row); },
      [&](int64_t row, double* one, double* two) {
        for (int64_t c = 0; c < channels; ++c) {
          sum[row * channels + c] = S(one[c]);
          product[row * channels + c] = S(two[c]);
        }
      });
}

template <class T, class S>
void GradientCombine(const keras_norms::GradientCombineArguments& arguments,
                     const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  const MaskByte* const mask = static_cast<const MaskByte*>(arguments.mask);
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  const bool streams = chunks.large(3);
  // From the end, as in Apply.
  Parallel(workers, view.rows * count, [&](int64_t item) {
    const int64_t i = view.rows * count - 1 - item;
    const Chunk chunk = chunks.at(i / count, i % count);
    const Row<S> row =
        RowOf<S>(arguments, chunk.row, arguments.b, arguments.d);
    ChunkCombine(view, chunk, x, dy, row, arguments.activation, mask, dx,
                 streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GRADIENT_H_
