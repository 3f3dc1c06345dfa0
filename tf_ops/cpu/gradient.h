// Passes 3 and 4: with g = dy f'((x - center) scale + shift),
// sums of g and of g (x - center), and dx = g scale + (x - center) b + d.

#ifndef KERAS_NORMS_CPU_GRADIENT_H_
#define KERAS_NORMS_CPU_GRADIENT_H_

#include "apply.h"
#include "sums.h"

namespace {

// g, which is dy itself without an activation.
template <class S>
inline const S* Before(Activation function, const S* x, const S* dy,
                       const Row<S>& row, int64_t n, S* g) {
  if (function == Activation::kIdentity) return dy;
  S z[kTile];
  Linear(x, row, n, z);
  Deactivate(function, z, dy, g, n);
  return g;
}

// [sum of g, sum of g (x - center)], float64, by channel.
template <class T, class S>
inline void ChunkSums(const View& view, const Chunk& chunk, const T* x,
                      const T* dy, const Row<S>& row, Activation function,
                      const bool* mask, double* sum, double* product) {
  const Walk walk(view, chunk, mask != nullptr);
  const int64_t width = walk.width(), length = walk.length();
  Laid<S> laid(walk);
  Buffer<double> one(width), two(width);
  alignas(64) S wide_x[4][kTile];
  alignas(64) S wide_dy[4][kTile];
  alignas(64) S before[4][kTile];
  for (int64_t c = 0; c < walk.channels_apart(); ++c) {
    const Row<S> all = laid.For(row, c);
    for (int64_t t = 0; t < width; t += kTile) {
      const int64_t w = Least(kTile, width - t);
      const Row<S> at = {all.center + t, all.scale + t, all.shift + t,
                         nullptr, nullptr};
      Sums<S> sums(one.get() + t, two.get() + t, w);
      for (int64_t s = 0; s < walk.spans(); ++s) {
        const int64_t offset = walk.offset(c, s);
        const bool* keep = mask ? mask + walk.position(s) : nullptr;
        for (int64_t o = t; o < length;) {
          const bool four = !keep && o + 3 * width + w <= length;
          const int64_t n = four ? w : Least(w, length - o);
          const S* runs[4];
          const S* gs[4];
          for (int r = 0; r < (four ? 4 : 1); ++r) {
            const int64_t from = offset + o + r * width;
            Prefetch(x + from + kAhead * width, n * sizeof(T));
            Prefetch(dy + from + kAhead * width, n * sizeof(T));
            runs[r] = Read(x + from, n, wide_x[r]);
            if (keep) {
              for (int64_t i = 0; i < n; ++i) {
                const bool kept = walk.last() ? keep[o / width] : keep[o + i];
                wide_x[r][i] = kept || Finite(runs[r][i]) ? runs[r][i] : 0;
              }
              runs[r] = wide_x[r];
            }
            const S* given = Read(dy + from, n, wide_dy[r]);
            gs[r] = Before(function, runs[r], given, at, n, before[r]);
          }
          if (four) {
            sums.AddProducts(gs, runs, at.center, n);
          } else {
            sums.AddProducts(gs[0], runs[0], at.center, n);
          }
          o += four ? 4 * width : width;
        }
      }
      sums.Fold();
    }
    walk.Gather(one.get(), c, sum);
    walk.Gather(two.get(), c, product);
  }
}

template <class S>
inline void Combine(const S* const x[kRuns], const S* const g[kRuns],
                    const Tile<S>& tile, S* const to[kRuns]) {
  const S* __restrict center = tile.row.center;
  const S* __restrict scale = tile.row.scale;
  const S* __restrict b = tile.row.b;
  const S* __restrict d = tile.row.d;
  if (b != nullptr && tile.runs == kRuns) {
    const S* __restrict x0 = x[0];
    const S* __restrict x1 = x[1];
    const S* __restrict x2 = x[2];
    const S* __restrict x3 = x[3];
    const S* __restrict g0 = g[0];
    const S* __restrict g1 = g[1];
    const S* __restrict g2 = g[2];
    const S* __restrict g3 = g[3];
    S* __restrict to0 = to[0];
    S* __restrict to1 = to[1];
    S* __restrict to2 = to[2];
    S* __restrict to3 = to[3];
    KERAS_NORMS_NO_ALIAS
    for (int64_t i = 0; i < tile.n; ++i) {
      const S m = center[i], s = scale[i], k = b[i], l = d[i];
      to0[i] = g0[i] * s + ((x0[i] - m) * k + l);
      to1[i] = g1[i] * s + ((x1[i] - m) * k + l);
      to2[i] = g2[i] * s + ((x2[i] - m) * k + l);
      to3[i] = g3[i] * s + ((x3[i] - m) * k + l);
    }
    return;
  }
  for (int r = 0; r < tile.runs; ++r) {
    KERAS_NORMS_NO_ALIAS
    for (int64_t i = 0; i < tile.n; ++i) {
      S through = 0;
      if (b != nullptr) through = (x[r][i] - center[i]) * b[i] + d[i];
      if (tile.keep != nullptr) through = tile.keep[i] ? through : 0;
      to[r][i] = g[r][i] * scale[i] + through;
    }
  }
}

template <class T, class S>
inline void ChunkCombine(const View& view, const Chunk& chunk, const T* x,
                         const T* dy, const Row<S>& row, Activation function,
                         const bool* mask, T* dx, bool streams) {
  alignas(64) S wide_x[kRuns][kTile];
  alignas(64) S wide_dy[kRuns][kTile];
  alignas(64) S before[kRuns][kTile];
  Output<T, S> output(streams);
  EachTile(view, chunk, row, mask, [&](const Tile<S>& tile) {
    const S* read[kRuns];
    const S* g[kRuns];
    S* to[kRuns];
    for (int r = 0; r < tile.runs; ++r) {
      const int64_t at = tile.at[r];
      Prefetch(x + at + tile.ahead, tile.n * sizeof(T));
      Prefetch(dy + at + tile.ahead, tile.n * sizeof(T));
      read[r] = ReadKept(x + at, tile.n, tile.keep, wide_x[r]);
      const S* given = Read(dy + at, tile.n, wide_dy[r]);
      g[r] = Before(function, read[r], given, tile.row, tile.n, before[r]);
      to[r] = output.Place(dx + at, tile.n, r);
    }
    Combine(read, g, tile, to);
    for (int r = 0; r < tile.runs; ++r) {
      output.Finish(dx + tile.at[r], tile.n, r);
    }
  });
}

// Sums of each row in two float64 tables, given to `use`.
template <class T, class S, class F, class R>
inline void EachRowsSums(const View& view, const T* x, const T* dy,
                         Activation function, const bool* mask,
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
void GradientSums(const View& view, const T* x, const T* dy, const Line& line,
                  S* sum, S* product, const Workers& workers) {
  const int64_t channels = view.channels;
  EachRowsSums<T, S>(
      view, x, dy, line.function, line.mask, workers,
      [&](int64_t row) { return RowOf<S>(line, row, channels); },
      [&](int64_t row, double* one, double* two) {
        for (int64_t c = 0; c < channels; ++c) {
          sum[row * channels + c] = S(one[c]);
          product[row * channels + c] = S(two[c]);
        }
      });
}

template <class T, class S>
void GradientCombine(const View& view, const T* x, const T* dy,
                     const Line& line, const S* b, const S* d, T* dx,
                     const Workers& workers) {
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  const bool streams = chunks.large(3);
  // From the end, as in Apply.
  Parallel(workers, view.rows * count, [&](int64_t item) {
    const int64_t i = view.rows * count - 1 - item;
    const Chunk chunk = chunks.at(i / count, i % count);
    const Row<S> row = RowOf<S>(line, chunk.row, view.channels, b, d);
    ChunkCombine(view, chunk, x, dy, row, line.function, line.mask, dx,
                 streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GRADIENT_H_
