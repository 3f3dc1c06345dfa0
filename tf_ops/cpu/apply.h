// Pass 2: y = f((x - center) scale + shift).

#ifndef KERAS_NORMS_CPU_APPLY_H_
#define KERAS_NORMS_CPU_APPLY_H_

#include "activations.h"
#include "chunks.h"
#include "numbers.h"
#include "output.h"

namespace {

using keras_norms::Line;

// The tables of a line, of one row, or laid out for the spans of a channel.
template <class S>
struct Row {
  const S* center;
  const S* scale;
  const S* shift;
  // Of dx, or null.
  const S* b;
  const S* d;

  Row row() const { return *this; }
};

template <class S>
inline Row<S> RowOf(const Line& line, int64_t row, int64_t channels,
                    const void* b = nullptr, const void* d = nullptr) {
  const int64_t at = row * channels;
  const auto table = [at](const void* of) {
    return of ? static_cast<const S*>(of) + at : nullptr;
  };
  return {table(line.tables.center), table(line.tables.scale),
          table(line.tables.shift), table(b), table(d)};
}

template <class S>
class Laid {
 public:
  explicit Laid(const Walk& walk)
      : walk_(walk), width_(walk.width()), buffer_(5 * walk.width()) {}
  Row<S> For(const Row<S>& row, int64_t channel) {
    S* to = buffer_.get();
    return {walk_.Lay(row.center, channel, to),
            walk_.Lay(row.scale, channel, to + width_),
            walk_.Lay(row.shift, channel, to + 2 * width_),
            walk_.Lay(row.b, channel, to + 3 * width_),
            walk_.Lay(row.d, channel, to + 4 * width_)};
  }

 private:
  const Walk& walk_;
  int64_t width_;
  Buffer<S> buffer_;
};

// Runs of memory that go with the same piece of the tables, one or kRuns: the
// tables are read once for all.
template <class S>
struct Tile {
  int64_t at[kRuns];  // offsets in x
  int runs;
  int64_t n;
  int64_t ahead;  // as far as memory is asked for
  Row<S> row;
  const bool* keep;  // of the run, with a mask only one; null where all are
};

// f(tile) for all of a chunk.
template <class S, class F>
inline void EachTile(const View& view, const Chunk& chunk, const Row<S>& row,
                     const bool* mask, const F& f) {
  const Walk walk(view, chunk, mask != nullptr);
  const int64_t width = walk.width(), length = walk.length();
  Laid<S> laid(walk);
  bool same[kTile];
  for (int64_t c = 0; c < walk.channels_apart(); ++c) {
    const Row<S> at = laid.For(row, c);
    for (int64_t s = 0; s < walk.spans(); ++s) {
      const int64_t offset = walk.offset(c, s);
      const bool* keep = mask ? mask + walk.position(s) : nullptr;
      for (int64_t o = 0; o < length;) {
        const bool full = !keep && o + kRuns * width <= length;
        const int64_t end = Least(width, length - o);
        for (int64_t t = 0; t < end; t += kTile) {
          Tile<S> tile;
          tile.runs = full ? kRuns : 1;
          tile.n = Least(kTile, end - t);
          tile.ahead = kAhead * width;
          for (int r = 0; r < tile.runs; ++r) {
            tile.at[r] = offset + o + r * width + t;
          }
          tile.row = {at.center + t, at.scale + t, at.shift + t,
                      at.b ? at.b + t : nullptr, at.d ? at.d + t : nullptr};
          tile.keep = keep ? keep + o + t : nullptr;
          if (keep && walk.last()) {
            for (int64_t i = 0; i < tile.n; ++i) same[i] = keep[o / width];
            tile.keep = same;
          }
          f(tile);
        }
        o += full ? kRuns * width : width;
      }
    }
  }
}

template <class S>
inline bool Finite(S value) {
  return value - value == 0;
}

// x, but 0 where it is masked and not finite.
template <class T, class S>
inline const S* ReadKept(const T* x, int64_t n, const bool* keep, S* buffer) {
  const S* read = Read(x, n, buffer);
  if (keep == nullptr) return read;
  for (int64_t i = 0; i < n; ++i) {
    buffer[i] = keep[i] || Finite(read[i]) ? read[i] : 0;
  }
  return buffer;
}

template <class S>
inline void Linear(const S* __restrict x, const Row<S>& row, int64_t n,
                   S* __restrict z) {
  const S* __restrict center = row.center;
  const S* __restrict scale = row.scale;
  const S* __restrict shift = row.shift;
  KERAS_NORMS_NO_ALIAS
  for (int64_t i = 0; i < n; ++i) {
    z[i] = (x[i] - center[i]) * scale[i] + shift[i];
  }
}

template <class S>
inline void Linear(const S* const x[kRuns], const Tile<S>& tile,
                   S* const z[kRuns]) {
  if (tile.runs < kRuns) {
    for (int r = 0; r < tile.runs; ++r) Linear(x[r], tile.row, tile.n, z[r]);
    return;
  }
  const S* __restrict center = tile.row.center;
  const S* __restrict scale = tile.row.scale;
  const S* __restrict shift = tile.row.shift;
  const S* __restrict x0 = x[0];
  const S* __restrict x1 = x[1];
  const S* __restrict x2 = x[2];
  const S* __restrict x3 = x[3];
  S* __restrict z0 = z[0];
  S* __restrict z1 = z[1];
  S* __restrict z2 = z[2];
  S* __restrict z3 = z[3];
  KERAS_NORMS_NO_ALIAS
  for (int64_t i = 0; i < tile.n; ++i) {
    const S c = center[i], m = scale[i], s = shift[i];
    z0[i] = (x0[i] - c) * m + s;
    z1[i] = (x1[i] - c) * m + s;
    z2[i] = (x2[i] - c) * m + s;
    z3[i] = (x3[i] - c) * m + s;
  }
}

template <class T, class S>
inline void ApplyChunk(const View& view, const Chunk& chunk, const T* x,
                       const Row<S>& row, Activation function,
                       const bool* mask, T* y, bool streams) {
  alignas(64) S wide[kRuns][kTile];
  Output<T, S> output(streams);
  EachTile(view, chunk, row, mask, [&](const Tile<S>& tile) {
    const S* read[kRuns];
    S* z[kRuns];
    for (int r = 0; r < tile.runs; ++r) {
      Prefetch(x + tile.at[r] + tile.ahead, tile.n * sizeof(T));
      read[r] = ReadKept(x + tile.at[r], tile.n, tile.keep, wide[r]);
      z[r] = output.Place(y + tile.at[r], tile.n, r);
    }
    Linear(read, tile, z);
    for (int r = 0; r < tile.runs; ++r) {
      Activate(function, z[r], tile.n);
      output.Finish(y + tile.at[r], tile.n, r);
    }
  });
}

template <class T, class S>
void Apply(const View& view, const T* x, const Line& line, T* y,
           const Workers& workers) {
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  const bool streams = chunks.large(2);
  // From the end, of which most is in the cache where x was read just before.
  Parallel(workers, view.rows * count, [&](int64_t item) {
    const int64_t i = view.rows * count - 1 - item;
    const Chunk chunk = chunks.at(i / count, i % count);
    const Row<S> row = RowOf<S>(line, chunk.row, view.channels);
    ApplyChunk(view, chunk, x, row, line.function, line.mask, y, streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_APPLY_H_
